// Of a long table only the rows in sight and some beyond exist; a loaded list keeps the signals of its rows.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { signal, type Signal } from '@preact/signals';
import { windowOf, type Slice } from '../core/list.ts';

const isCoarse = typeof matchMedia !== 'undefined' && matchMedia('(pointer: coarse)').matches;
export const ROW_PX = isCoarse ? 44 : 34; // --row of tokens.css

/** A row that is about to become another one must not keep the focus: Enter would open what was not chosen. */
function leave(box: HTMLElement, next: Slice): void {
  const row = document.activeElement?.closest('tbody tr');
  const index = Number(row?.ariaRowIndex) - 2;
  if (row && box.contains(row) && (index < next.first || index >= next.end))
    box.querySelector('table')?.focus({ preventScroll: true });
}

export function useWindow(count: number) {
  const ref = useRef<HTMLDivElement>(null);
  const [slice, setSlice] = useState<Slice>({ first: 0, end: Math.min(count, 40), size: 40 });
  const look = (): void => {
    const box = ref.current;
    if (!box)
      return;
    const next = windowOf(box.scrollTop, box.clientHeight, ROW_PX, count);
    leave(box, next);
    setSlice((old) => (old.first === next.first && old.end === next.end && old.size === next.size ? old : next));
  };
  useEffect(() => {
    look();
    const watcher = new ResizeObserver(look);
    if (ref.current)
      watcher.observe(ref.current);
    return () => watcher.disconnect();
  }, [count]);
  return { ref, slice, look };
}

/** Rows of a list that was loaded, as the table wants them. A row that is the same as before keeps its signal. */
export function useRows<T>(list: readonly T[], idOf: (row: T) => string): Signal<T>[] {
  const known = useRef(new Map<string, Signal<T>>());
  return useMemo(() => {
    const next = new Map<string, Signal<T>>();
    for (const row of list) {
      const old = known.current.get(idOf(row)) ?? signal(row);
      old.value = row;
      next.set(idOf(row), old);
    }
    known.current = next;
    return [...next.values()];
  }, [list]);
}
