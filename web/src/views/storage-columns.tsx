// The columns of the list of storages.
import { bytes } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { href } from '../core/router.ts';
import { KIND_TEXTS, kindsOf } from '../core/volumes.ts';
import { Meter, Tag } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import type { Column } from '../parts/table.tsx';
import { usageOf, type StorageEntry, type Usage } from './storage-data.ts';
import { StorageMenu, type StorageAsk } from './storage-menu.tsx';

export const storageHref = (node: string, storage: string, tab = ''): string => href('storage', node, storage, ...(tab ? [tab] : []));

export function StorageStateOf({ entry, isBare }: { entry: StorageEntry; isBare?: boolean }) {
  const { state } = usageOf(entry);
  return <State state={state === 'disabled' ? t('storage.disabled') : state} isBare={isBare ?? false} />;
}

export const Contents = ({ content }: { content: string }) => (
  <span class="row tags">{kindsOf(content).map((k) => <Tag key={k} name={t(KIND_TEXTS[k].name)} />)}</span>
);

/** How much of it, or nothing where that is not known. */
const Amount = ({ entry, of }: { entry: StorageEntry; of: (u: Usage) => number }) => {
  const usage = usageOf(entry);
  return <>{usage.state === 'available' ? bytes(of(usage)) : ''}</>;
};

function UseCell({ entry }: { entry: StorageEntry }) {
  const { state, used, total } = usageOf(entry);
  return state === 'available' ? <Meter value={used} max={total} label={t('storage.use')} /> : <span class="quiet">–</span>;
}

const freeOf = (u: Usage): number => Math.max(0, u.total - u.used);

export function storageColumns(onAsk: (ask: StorageAsk) => void, onDone: () => void): Column<StorageEntry>[] {
  return [
    { id: 'name', title: 'storage.name', sort: (e) => e.config.storage,
      cell: (e) => <span class="name-cell"><span class="phone-only"><StorageStateOf entry={e} isBare /></span><a href={storageHref(e.node, e.config.storage)} class="ellipsis">{e.config.storage}</a></span> },
    { id: 'state', title: 'guest.status', width: '8rem', yields: 1, sort: (e) => usageOf(e).state, cell: (e) => <StorageStateOf entry={e} /> },
    { id: 'type', title: 'storage.type', width: '5rem', yields: 2, sort: (e) => e.config.type, cell: (e) => e.config.type },
    { id: 'node', title: 'guest.node', width: '7rem', yields: 2, sort: (e) => e.node, cell: (e) => e.node },
    { id: 'use', title: 'storage.use', width: '9.5rem', sort: (e) => { const u = usageOf(e); return u.total ? u.used / u.total : undefined; }, cell: (e) => <UseCell entry={e} /> },
    { id: 'free', title: 'storage.freeTitle', width: '6.5rem', isEnd: true, yields: 1, sort: (e) => freeOf(usageOf(e)), cell: (e) => <Amount entry={e} of={freeOf} /> },
    { id: 'total', title: 'storage.size', width: '6.5rem', isEnd: true, yields: 1, sort: (e) => usageOf(e).total, cell: (e) => <Amount entry={e} of={(u) => u.total} /> },
    { id: 'content', title: 'storage.content', width: '19rem', yields: 1, cell: (e) => <Contents content={e.config.content} /> },
    { id: 'path', title: 'storage.path', width: '14rem', yields: 2, isHidden: true, sort: (e) => e.config.path, cell: (e) => <span class="mono">{e.config.path}</span> },
    { id: 'shared', title: 'storage.shared', width: '6rem', yields: 2, isHidden: true, sort: (e) => e.config.shared ?? 0, cell: (e) => (e.config.shared ? t('yes') : t('no')) },
    { id: 'tools', title: 'storage.actions', width: '5.5rem', yields: 1, cell: (e) => <StorageMenu config={e.config} onAsk={onAsk} onDone={onDone} /> },
  ];
}
