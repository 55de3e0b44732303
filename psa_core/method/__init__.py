"""The method of Ahn and Kwak (CVPR 2018): one module per stage, arrays and tensors in and out."""
