"""ONNX: its files read without its packages, its operators translated one by one."""
