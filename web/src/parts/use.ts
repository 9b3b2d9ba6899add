// Loads something for a view, and again when its key changes. When only its version does, the old value is shown until
// the new one is there.
import { useCallback, useEffect, useState } from 'preact/hooks';

export interface Loaded<T> { value: T | null; error: unknown; reload: () => void }

/** It is known whether there is something to show. */
export const isLoaded = (l: Loaded<unknown>): boolean => l.value !== null || l.error !== null;

export function useLoad<T>(key: string, version: string, load: () => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string; value: T | null; error: unknown }>({ key, value: null, error: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let isWanted = true; // an answer that comes after the view has moved on is not shown
    load().then(
      (value) => { if (isWanted) setState({ key, value, error: null }); },
      (error: unknown) => { if (isWanted) setState((old) => ({ key, value: old.key === key ? old.value : null, error })); },
    );
    return () => { isWanted = false; };
  }, [key, version, turn]);
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  return { value: state.key === key ? state.value : null, error: state.key === key ? state.error : null, reload };
}
