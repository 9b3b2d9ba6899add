// What a terminal and a screen have in common, for the tools around them.
import type { ReadonlySignal, Signal } from '@preact/signals';
import type { Opened, Link } from './console.ts';

export type Modifier = 'Control' | 'Alt';

export interface Pasting {
  /** The layout that the guest has; a terminal needs none. */
  layout: string;
  stop: AbortSignal;
  /** Part that is done, 0 to 1. */
  onPart: (part: number) => void;
}

export interface Device {
  /** Speaks over an opened connection; the result ends it. */
  attach: (opened: Opened, link: Link) => () => void;
  /** Types a text; ends when all is typed, or at the signal. */
  paste: (text: string, how: Pasting) => Promise<void>;
  /** Single characters, as if they were typed. */
  input: (text: string) => void;
  /** Presses keys together, KeyboardEvent.code each. */
  press: (codes: readonly string[]) => void;
  /** Held for the next key, by the extra keys of a phone. */
  readonly held: Signal<ReadonlySet<Modifier>>;
  readonly hasSelection: ReadonlySignal<boolean>;
  selection: () => string;
  /** Rows and columns of a terminal. */
  size: () => { rows: number; columns: number } | null;
  focus: () => void;
  /** A terminal's letters, in steps from the usual size; a screen fits its window, or (0) is as large as it is. */
  zoom: (level: number) => void;
  readAloud: (isOn: boolean) => void;
  dispose: () => void;
}
