"""When a process has hung and when it is only slow: seconds and processor seconds that are made up here."""

from latentpress.batch.executors.patience import Patience

SIZE = 512 * 512


def watching(on_gpu=False, took=None):
    """Patience of 60 s in a call of the UNet for 4 pictures; the one before took `took` seconds, if there was one."""
    patience = Patience(60.0, on_gpu)
    if took is not None:
        patience.began(1, "the UNet", 4, SIZE, 0.0, 0.0)
    patience.began(1, "the UNet", 4, SIZE, took or 0.0, took or 0.0)
    return patience


def test_a_process_that_was_stopped_or_waits_for_a_lock_has_hung_after_the_floor():
    assert not watching().over(59, 0.0)
    assert watching().over(61, 0.0)


def test_a_process_that_computes_is_slow_and_has_not_hung():
    assert not watching().over(600, 6.0), "a hundredth of a core"
    assert not watching(took=1.0).over(3600, 60.0)


def test_a_process_that_runs_in_a_circle_has_hung_after_many_times_what_the_call_takes():
    assert not watching(took=1.0).over(1100, 1100.0)
    assert watching(took=1.0).over(1300, 1300.0)
    assert not watching(took=100.0).over(1900, 1900.0)
    assert watching(took=100.0).over(2100, 2100.0)


def test_a_larger_picture_has_more_time_also_where_nothing_is_known_of_it():
    larger = watching(took=100.0)
    larger.began(1, "the UNet", 4, 4 * SIZE, 200.0, 200.0)
    assert not larger.over(20_000, 20_000.0)
    assert larger.over(40_000, 40_000.0)
    first = watching()
    assert not first.over(4 * 1200 - 10, 4 * 1200 - 10.0)
    assert first.over(4 * 1200 + 10, 4 * 1200 + 10.0)


def test_a_process_that_waits_for_a_gpu_has_the_time_that_its_calls_take():
    assert not watching(on_gpu=True).over(590, 0.0)
    assert watching(on_gpu=True).over(610, 0.0)
    assert watching(on_gpu=True, took=1.0).over(61, 0.0)
    assert not watching(on_gpu=True, took=10.0).over(190, 0.0)
    assert watching(on_gpu=True, took=10.0).over(210, 0.0)


def test_opening_an_engine_may_take_as_long_as_it_computes():
    patience = Patience(60.0)
    assert not patience.over(590, 0.0)
    assert patience.over(610, 0.0)
    assert not patience.over(100_000, 50_000.0)


def test_where_nobody_counts_processor_time_only_the_calls_have_an_end():
    assert not watching().over(4700, None)
    assert watching().over(4900, None)
    assert not Patience(60.0).over(1e6, None)
