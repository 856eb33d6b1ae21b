"""The red of a sepia tone towards a value."""


def loss(image, strength: float = 0.5):
    red, green, blue = image
    return (0.393 * red + 0.769 * green + 0.189 * blue - strength).abs().mean()
