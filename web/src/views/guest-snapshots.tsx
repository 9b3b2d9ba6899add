// Snapshots of a guest as a tree, the present state where it grows; take, roll back, compare, delete.
import { useState } from 'preact/hooks';
import { get } from '../core/api.ts';
import { ago, dateTime } from '../core/format.ts';
import { guestPath, stateOf } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import { now } from '../core/live.ts';
import { canGuest } from '../core/perms.ts';
import { href, place, setQuery } from '../core/router.ts';
import { childCount, snapshotTree, type Branch, type Snapshot } from '../core/snapshot-tree.ts';
import type { Guest } from '../core/store.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';
import { Panel } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';
import { CompareDialog, DeleteDialog, EditDialog, RollbackDialog, TakeDialog } from './guest-snapshot-dialogs.tsx';
import { tasksOfGuest } from './task-list.tsx';

type Ask = { kind: 'take' } | { kind: 'rollback' | 'delete' | 'edit'; snapshot: Snapshot } | null;

const LANES_MAX = 7; // what is further to the right is drawn there

interface RowProps { branch: Branch; guest: Guest; onAsk: (ask: Ask) => void }

function Tools({ branch: { snapshot: s }, guest, onAsk }: RowProps) {
  const may = canGuest(guest.vmid, 'VM.Snapshot');
  if (!may && !canGuest(guest.vmid, 'VM.Snapshot.Rollback'))
    return null;
  return (
    <span class="row snapshot-tools">
      <Button tone="ghost" icon="back" label={t('snapshot.rollbackTo', { name: s.name })} onClick={() => onAsk({ kind: 'rollback', snapshot: s })} />
      {may && <Menu label={t('snap.more', { name: s.name })} icon="more" tone="ghost" isBare>
        <MenuItem icon="edit" onClick={() => onAsk({ kind: 'edit', snapshot: s })}>{t('snap.edit')}</MenuItem>
        <MenuItem icon="trash" isDanger onClick={() => onAsk({ kind: 'delete', snapshot: s })}>{t('snapshot.deleteOf', { name: s.name })}</MenuItem>
      </Menu>}
    </span>
  );
}

/** The name leads to what is different in it. */
function Row(p: RowProps) {
  const { snapshot: s, depth, isNow, hasLineAbove, hasLineBelow } = p.branch;
  const lane = Math.min(p.branch.lane, LANES_MAX);
  const line = `${hasLineAbove ? ' line-above' : ''}${hasLineBelow ? ' line-below' : ''}${lane > 0 && !hasLineAbove ? ' branches' : ''}`;
  return (
    <li class={`snapshot${isNow ? ' now' : ''}${line}`} aria-level={depth + 1} role="treeitem" style={{ '--lane': lane }}>
      <span class="snapshot-rail" aria-hidden="true"><span class="snapshot-dot" /></span>
      <span class="grow snapshot-name">
        {isNow ? <strong>{t('snapshot.now')}</strong> : <a href={`${href('guests', p.guest.vmid, 'snapshots')}?snapshot=${encodeURIComponent(s.name)}`}><strong>{s.name}</strong></a>}
        {!!s.vmstate && <span class="tag">{t('snapshot.withMemory')}</span>}
        {!isNow && s.description?.trim() && <span class="quiet snapshot-text">{s.description}</span>}
      </span>
      {isNow ? <State state={stateOf(p.guest)} /> : <time class="quiet num" title={dateTime(s.snaptime ?? 0)}>{ago(s.snaptime ?? 0, now.value)}</time>}
      {!isNow && <Tools {...p} />}
    </li>
  );
}

/** Changes when a task of this guest begins or ends. */
const taskVersion = (guest: Guest): string => {
  const tasks = tasksOfGuest(String(guest.vmid)).filter((x) => /snapshot|rollback/.test(x.type));
  return `${tasks.length} ${tasks.filter((x) => x.endtime !== undefined).length}`;
};

export function Snapshots({ guest }: { guest: Guest }) {
  const path = guestPath(guest);
  const { value, error, reload } = useLoad(path, `${guest.lock ?? ''} ${taskVersion(guest)}`, () => get<Snapshot[]>(`${path}/snapshot`));
  const [ask, setAsk] = useState<Ask>(null);
  const close = (): void => setAsk(null);
  if (error && !value)
    return <ErrorBox error={error} onRetry={reload} />;
  if (!value)
    return <Waiting />;
  const n = value.filter((s) => s.name !== 'current').length;
  const may = canGuest(guest.vmid, 'VM.Snapshot') && !guest.template;
  const dialog = { guest, onDone: reload, onClose: close };
  const open = value.find((s) => s.name === place.value.query.get('snapshot') && s.name !== 'current');
  const take = may && <Button tone="main" icon="camera" onClick={() => setAsk({ kind: 'take' })}>{t('snapshot.take')}</Button>;
  return (
    <>
      <Panel title={n ? t('snap.count', { n }) : t('snapshot.none')} tools={take}>
        {n === 0 && <p class="quiet pad snapshot-help">{t('snap.help')}</p>}
        <ul class="snapshots" role="tree" aria-label={t('tab.snapshots')}>
          {snapshotTree(value).map((branch) => <Row key={branch.snapshot.name} branch={branch} guest={guest} onAsk={setAsk} />)}
        </ul>
      </Panel>
      {ask?.kind === 'take' && <TakeDialog {...dialog} />}
      {ask?.kind === 'rollback' && <RollbackDialog {...dialog} snapshot={ask.snapshot} />}
      {ask?.kind === 'delete' && <DeleteDialog {...dialog} snapshot={ask.snapshot} children={childCount(value, ask.snapshot.name)} />}
      {ask?.kind === 'edit' && <EditDialog {...dialog} snapshot={ask.snapshot} />}
      {open && <CompareDialog key={open.name} guest={guest} snapshot={open} onClose={() => setQuery({ snapshot: null })} />}
    </>
  );
}
