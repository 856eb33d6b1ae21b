"""The engines a bundle's graphs run on: `choice` names them, `opening` opens one, a file for each kind of session.

cpu            ONNX Runtime's CPU provider: everywhere, exact, the default
openvino       OpenVINO on the CPU, in float32, or in bfloat16 as `openvino:bf16`
cuda           ONNX Runtime's CUDA provider, bound to torch's memory and stream
tensorrt       ONNX Runtime's TensorRT provider: engines built on the GPU they run on
tensorrt-rtx   TensorRT for RTX: engines built ahead of time, without a GPU
"""
