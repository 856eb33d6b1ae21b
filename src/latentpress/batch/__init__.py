"""From a manifest to a folder of finished pictures: parse, expand, plan, render, record."""
