"""The assignment: a variant of `blue_loss` that is neither red, green nor blue. Draws the picture towards violet."""


def loss(image, red: float = 0.55, green: float = 0.25, blue: float = 0.85):
    distance = (image[0] - red).abs() + (image[1] - green).abs() + (image[2] - blue).abs()
    return distance.mean()
