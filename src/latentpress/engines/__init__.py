"""The engines a bundle's graphs run on, a file and an `Engine` object each; `table` lists them.

cpu            ONNX Runtime's CPU provider: everywhere, exact, the default
openvino       OpenVINO on the CPU, in float32, or in bfloat16 as `openvino:bf16`
cuda           ONNX Runtime's CUDA provider, bound to torch's memory and stream
tensorrt       ONNX Runtime's TensorRT provider: engines built on the GPU they run on
tensorrt-rtx   TensorRT for RTX: engines built ahead of time, without a GPU

Which file answers which question:

engine     what is an engine, a choice of one, a session?       table      which are there?
choice     which did a person ask for, and does it run this?    opening    how is a session opened?
doctor     what can run on this machine?                        devices    which GPUs and CPU has it?
build      how are engines built and proved?                    shapes     for which ranges of shapes?
records    what is kept of an engine, and is it stale?          keys       what can make it stale?
proof      is it right, do its rows keep their bits?            row_test   what is known of that here?
strict     what must be fixed so that pictures stay?            session    what is right (torch)?
batching   calls of a few fixed sizes                           memory     calls that fit into memory
onnxruntime_gpu, tensorrt_rtx_builder: what cuda and tensorrt, and tensorrt-rtx, are made with
"""
