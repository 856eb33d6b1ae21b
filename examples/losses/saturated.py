"""How far the picture is from itself with colours `factor` times as strong."""


def loss(image, factor: float = 10.0):
    grey = (0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2])[None]
    stronger = (grey + factor * (image - grey)).clamp(0, 1)
    return (stronger - image).abs().mean()
