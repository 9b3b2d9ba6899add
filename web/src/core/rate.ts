// How fast something goes, over the last seconds.
const WINDOW_MS = 6000, LEAST_MS = 400;

export class Rate {
  private marks: { at: number; done: number }[] = [];

  /** Bytes a second; 0 while too little is known. */
  mark(done: number, at: number): number {
    const last = this.marks.at(-1);
    if (last && done < last.done)
      this.marks = [];
    this.marks.push({ at, done });
    while (this.marks.length > 2 && at - (this.marks[1]?.at ?? at) > WINDOW_MS)
      this.marks.shift();
    const first = this.marks[0];
    return first && at - first.at >= LEAST_MS ? ((done - first.done) * 1000) / (at - first.at) : 0;
  }

  reset(): void {
    this.marks = [];
  }
}
