// Snapshots as the API lists them, put into a tree. The guest's present state is "current".
export interface Snapshot { name: string; description?: string; parent?: string; snaptime?: number; vmstate?: number; running?: number }

/** lane: how far to the right it is drawn. A chain stays in its lane however long it is; only a branch moves over. */
export interface Branch { snapshot: Snapshot; depth: number; lane: number; isNow: boolean; hasLineAbove: boolean; hasLineBelow: boolean }

type Children = ReadonlyMap<string, readonly Snapshot[]>;

function childrenOf(list: readonly Snapshot[]): Children {
  const names = new Set(list.map((s) => s.name));
  const children = new Map<string, Snapshot[]>();
  for (const s of list) {
    const parent = s.parent !== undefined && names.has(s.parent) && s.parent !== s.name ? s.parent : '';
    const siblings = children.get(parent);
    if (siblings)
      siblings.push(s);
    else
      children.set(parent, [s]);
  }
  return children;
}

/** Names from the root to the present state. */
function pathToNow(list: readonly Snapshot[]): Set<string> {
  const byName = new Map(list.map((s) => [s.name, s]));
  const path = new Set<string>();
  for (let s = byName.get('current'); s && !path.has(s.name); s = byName.get(s.parent ?? ''))
    path.add(s.name);
  return path;
}

/** Depth first; of siblings the one that leads to the present state last, in the lane of its parent, the others before
 * it by age. A parent that is gone makes a root; a ring, which only a damaged list has, is cut. */
export function snapshotTree(list: readonly Snapshot[]): Branch[] {
  const children = childrenOf(list);
  const toNow = pathToNow(list);
  const order = (s: Snapshot): number => (toNow.has(s.name) ? Infinity : (s.snaptime ?? 0));
  const out: Branch[] = [];
  const seen = new Set<string>();
  const walk = (s: Snapshot, depth: number, lane: number, hasLineAbove: boolean): void => {
    seen.add(s.name);
    const below = (children.get(s.name) ?? []).filter((c) => !seen.has(c.name)).sort((a, b) => order(a) - order(b));
    out.push({ snapshot: s, depth, lane, isNow: s.name === 'current', hasLineAbove, hasLineBelow: below.length > 0 });
    for (const [i, child] of below.entries()) {
      const isMain = i === below.length - 1;
      walk(child, depth + 1, isMain ? lane : lane + 1, isMain);
    }
  };
  for (const s of [...(children.get('') ?? [])].sort((a, b) => (a.snaptime ?? Infinity) - (b.snaptime ?? Infinity)))
    walk(s, 0, 0, false);
  for (const s of list) {
    if (!seen.has(s.name))
      walk(s, 0, 0, false);
  }
  return out;
}

/** Each snapshot that would have another parent if this one went. */
export const childCount = (list: readonly Snapshot[], name: string): number => list.filter((s) => s.parent === name && s.name !== 'current').length;

export interface Difference { key: string; then: string; now: string }
type Config = Readonly<Record<string, unknown>>;

// Of the snapshot itself, or of the moment, and no setting of the guest.
const NOT_SETTINGS = new Set(['digest', 'parent', 'snaptime', 'vmstate', 'runningmachine', 'runningcpu', 'running-nets-host-mtu', 'snapstate', 'description', 'lock']);

/** What a rollback would change in the configuration; '' where a key is not set. */
export function configDifferences(then: Config, now: Config): Difference[] {
  const keys = [...new Set([...Object.keys(then), ...Object.keys(now)])].filter((k) => !NOT_SETTINGS.has(k)).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const text = (value: unknown): string => (value === undefined || value === null ? '' : String(value));
  return keys.map((key) => ({ key, then: text(then[key]), now: text(now[key]) })).filter((d) => d.then !== d.now);
}
