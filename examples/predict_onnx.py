"""The mask of an image by a model of `psa export-onnx`, at one scale, without torch.

python predict_onnx.py model.onnx image.jpg mask.png    # needs numpy, onnxruntime and pillow
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

if len(sys.argv) != 4:
    sys.exit("python predict_onnx.py model.onnx image.jpg mask.png")
model, image_file, mask_file = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
properties = session.get_modelmeta().custom_metadata_map
about, stride = json.loads(properties["psa"]), int(properties["stride"])
classes, longest_side = about["classes"], about.get("inference", {}).get("longest_side")
if any(about.get("images", {}).values()):
    sys.exit(f"{model} needs images that are read with {about['images']}; this example cannot")

image = Image.open(image_file).convert("RGB")
scale = max(longest_side / max(image.size), min(1, 32 / min(image.size))) if longest_side else 1
width, height = (max(stride, round(scale * side / stride) * stride) for side in image.size)
pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32) / 255
(logits,) = session.run(["logits"], {"images": pixels.transpose(2, 0, 1)[None]})

resized = [
    Image.fromarray(each).resize(image.size, Image.Resampling.BILINEAR) for each in logits[0]
]
labels = np.stack([np.asarray(each) for each in resized]).argmax(0).astype(np.uint8)
Image.fromarray(labels).save(mask_file)
for index in np.unique(labels):
    name = classes[index - 1] if index else "background"
    print(f"{index} {name}: {(labels == index).mean():.1%} of the pixels")
