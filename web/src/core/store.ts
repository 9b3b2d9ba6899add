// What the page knows of the cluster: for each kind a map from id to a signal with the row. One changed guest replaces
// one row's value and repaints the cells that read it; the list of ids changes only when rows come or go. Everything
// comes in through apply(), whether it was polled or pushed.
import { signal, batch, type Signal } from '@preact/signals';

export type Kind = 'guest' | 'node' | 'storage' | 'task';

export interface Guest {
  id: string; vmid: number; name: string; node: string; type: string;
  /** running: there is a process. What is shown and offered goes by stateOf() of guests.ts. */
  status: string;
  /** Only of a guest that has a process and stands still. */
  qmpstatus?: string;
  cpu?: number; maxcpu?: number; mem?: number; maxmem?: number; maxdisk?: number; uptime?: number;
  tags?: string; pool?: string; lock?: string; template?: number;
}
export interface Node {
  id: string; node: string; status: string;
  cpu?: number; maxcpu?: number; mem?: number; maxmem?: number; disk?: number; maxdisk?: number; uptime?: number;
}
export interface Storage {
  id: string; storage: string; node: string; status: string; disk?: number; maxdisk?: number; content?: string; plugintype?: string; shared?: number;
}
export interface Task {
  id: string; upid: string; node: string; type: string; user: string; starttime: number; endtime?: number; status?: string;
}

interface Rows { guest: Guest; node: Node; storage: Storage; task: Task }
type Field = string | number | boolean | null | undefined;
type Fields = Readonly<Record<string, Field>>;

/** One change of one row. unset true: the row is gone. */
export interface Delta {
  kind: Kind;
  id: string;
  set?: Fields;
  unset?: readonly string[] | true;
}

const CALM_MS = 200;

export class Table<T extends object> {
  readonly ids: Signal<readonly string[]> = signal([]);
  private readonly rows = new Map<string, Signal<T>>();
  private readonly versions = new Map<string, Signal<number>>();
  private readonly moved = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private toldAt = 0;

  /** Subscribes to a member of all rows: who sorts by names need not look at every row whenever a metric moves. It is
   * told of changes a few times in a second at most; the row itself tells of each. */
  version(field: string): number {
    let version = this.versions.get(field);
    if (!version)
      this.versions.set(field, version = signal(0));
    return version.value;
  }

  row(id: string): Signal<T> | undefined {
    return this.rows.get(id);
  }

  /** Values now, without subscribing to each; ids is subscribed to. */
  all(): Signal<T>[] {
    return this.ids.value.flatMap((id) => this.rows.get(id) ?? []);
  }

  set(id: string, fields: Fields, unset: readonly string[]): boolean {
    const old = this.rows.get(id);
    if (!old) {
      this.rows.set(id, signal({ id, ...fields } as unknown as T));
      return true;
    }
    const before = old.peek() as Readonly<Record<string, unknown>>;
    const changed = Object.keys(fields).filter((k) => before[k] !== fields[k]).concat(unset.filter((k) => k in before));
    if (changed.length) {
      const next: Record<string, unknown> = { ...before, ...fields };
      for (const key of unset)
        delete next[key];
      old.value = next as T;
      for (const key of changed)
        this.note(key);
    }
    return false;
  }

  private note(field: string): void {
    if (!this.versions.has(field))
      return;
    this.moved.add(field);
    this.timer ??= setTimeout(() => this.tell(), Math.max(0, this.toldAt + CALM_MS - Date.now()));
  }

  private tell(): void {
    this.timer = undefined;
    this.toldAt = Date.now();
    batch(() => {
      for (const field of this.moved) {
        const version = this.versions.get(field);
        if (version)
          version.value = version.peek() + 1;
      }
    });
    this.moved.clear();
  }

  drop(id: string): boolean {
    return this.rows.delete(id);
  }

  publish(): void {
    this.ids.value = [...this.rows.keys()];
  }

  keys(): IterableIterator<string> {
    return this.rows.keys();
  }

  fieldsOf(id: string): string[] {
    return Object.keys(this.rows.get(id)?.peek() ?? {});
  }
}

export class Store {
  readonly tables: { readonly [K in Kind]: Table<Rows[K]> } = {
    guest: new Table<Guest>(), node: new Table<Node>(), storage: new Table<Storage>(), task: new Table<Task>(),
  };

  apply(deltas: readonly Delta[]): void {
    const changed = new Set<Kind>();
    batch(() => {
      for (const d of deltas) {
        const table = this.tables[d.kind];
        if (!table)
          continue; // a kind that a newer server has
        const isNews = d.unset === true ? table.drop(d.id) : table.set(d.id, d.set ?? {}, d.unset ?? []);
        if (isNews)
          changed.add(d.kind);
      }
      for (const kind of changed)
        this.tables[kind].publish();
    });
  }

  /** "KIND ID" of every row. */
  names(): Set<string> {
    return new Set((Object.keys(this.tables) as Kind[]).flatMap((kind) => [...this.tables[kind].keys()].map((id) => `${kind} ${id}`)));
  }

  /** Members that a row has and a newer whole one has not. */
  missing(kind: Kind, id: string, row: Fields): string[] {
    return this.tables[kind].fieldsOf(id).filter((key) => key !== 'id' && !(key in row));
  }

  /** The deltas that make the rows of a kind equal to a whole list: what polling brings. */
  diff(kind: Kind, list: readonly (Fields & { id: string })[]): Delta[] {
    const seen = new Set(list.map((row) => row.id));
    const gone = [...this.tables[kind].keys()].filter((id) => !seen.has(id)).map((id): Delta => ({ kind, id, unset: true }));
    const here = list.map((row): Delta => {
      const lost = this.missing(kind, row.id, row);
      return lost.length ? { kind, id: row.id, set: row, unset: lost } : { kind, id: row.id, set: row };
    });
    return [...gone, ...here];
  }
}

export const store = new Store();
