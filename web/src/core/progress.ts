// How fast something goes on and when it will be done, from looks at it.

export interface Look { at: number; phase: string; done: number; total: number }
export interface Pace { part: number; rate: number; left: number | undefined }

const WINDOW_MS = 20_000;

/** Keeps the looks that count: of this phase, not too old. */
export function withLook(looks: readonly Look[], look: Look): Look[] {
  const last = looks.at(-1);
  const isSame = last && last.phase === look.phase && last.total === look.total && last.done <= look.done;
  const kept = isSame ? looks.filter((l) => look.at - l.at <= WINDOW_MS) : [];
  return [...kept, look];
}

/** Times in milliseconds, rate for each second. left: seconds; undefined while nothing can be said. */
export function paceOf(looks: readonly Look[]): Pace | null {
  const first = looks[0], last = looks.at(-1);
  if (!first || !last || last.total <= 0)
    return null;
  const seconds = (last.at - first.at) / 1000;
  const rate = seconds > 0 ? (last.done - first.done) / seconds : 0;
  return { part: Math.min(1, last.done / last.total), rate, left: rate > 0 ? (last.total - last.done) / rate : undefined };
}
