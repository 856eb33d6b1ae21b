"""Loss guidance that a test writes out: the gradient of one image, and the rest follows."""


class OneByOne:
    """Has `gradient(x0, losses, moment)` answer for each image; what it raises is that image's."""

    def gradients(self, asks, begins=lambda places: None):
        found = []
        for place, ask in enumerate(asks):
            begins([place])
            try:
                found.append(self.gradient(ask.x0, ask.losses, ask.moment))
            except Exception as error:
                found.append(error)
        return found
