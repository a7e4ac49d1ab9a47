"""What runs models: OpenVINO on an IR, the framework's own runtime on its source, and how their answers compare."""
