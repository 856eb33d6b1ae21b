// Thumbnails are loaded a few at a time, and none while pictures fly by: what a reader cannot see costs nothing.

// As many at once, at rest and while the grid moves: a slow machine gets the next when it has done with these, and stays free
// for the scrolling. A file costs 5 ms of processor time in Chromium, most of it in other processes than the page's.
const AT_REST = 8;
const MOVING = 2;

class Loading {
  // most(): how many may be loaded at once now.
  constructor(most) {
    Object.assign(this, { most, queue: new Map(), running: new Set() });
  }

  // Let the picture show `url` when its turn comes, and `instead` where that cannot be loaded.
  want(picture, url, instead) {
    this.drop(picture);
    this.queue.set(picture, { url, instead });
  }

  // A picture that is no longer to be seen; what is decoded may go at once.
  drop(picture) {
    this.queue.delete(picture);
    this.running.delete(picture);
    picture.onload = picture.onerror = null;
    if (picture.hasAttribute("src")) picture.removeAttribute("src");
  }

  // Nothing is to be seen any more.
  clear() {
    for (const picture of [...this.queue.keys(), ...this.running]) this.drop(picture);
  }

  // Begin with what waits, in the order in which it came.
  go() {
    const most = this.most();
    for (const [picture, { url, instead }] of this.queue) {
      if (this.running.size >= most) return;
      this.queue.delete(picture);
      this.running.add(picture);
      const done = () => {
        this.running.delete(picture);
        this.go();
      };
      picture.onload = done;
      picture.onerror = () => {
        picture.onerror = done;
        picture.src = instead;
      };
      picture.src = url;
    }
  }
}
