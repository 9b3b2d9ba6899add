// Pools: guests and storages that rights are given on together.
import { useState } from 'preact/hooks';
import { stateOf } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import { canAnywhere } from '../core/perms.ts';
import { go, href } from '../core/router.ts';
import { store } from '../core/store.ts';
import { Button } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Panel } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import type { Column } from '../parts/table.tsx';
import { AclPanel } from './access-acl.tsx';
import { mayAcl, mayPool, usePool, usePools, type Member, type Pool } from './access-data.ts';
import { Gone, SearchedList, Thing } from './access-parts.tsx';
import { AddMembers, DeletePool, PoolDialog, RemoveMember, type Leaving } from './access-pool-dialogs.tsx';

const poolHref = (id: string): string => href('access', 'pools', id);
const guestsIn = (pool: string): number => store.tables.guest.all().filter((g) => g.value.pool === pool).length;

const COLUMNS: readonly Column<Pool>[] = [
  { id: 'pool', title: 'guest.pool', cell: (p) => <span class="name-cell"><a href={poolHref(p.poolid)}>{p.poolid}</a></span>, sort: (p) => p.poolid },
  { id: 'guests', title: 'nav.guests', width: '6rem', isEnd: true, cell: (p) => guestsIn(p.poolid) || <span class="quiet">–</span>, sort: (p) => guestsIn(p.poolid) },
  { id: 'comment', title: 'access.comment', yields: 1, width: '50%', cell: (p) => p.comment ?? '', sort: (p) => p.comment },
];

export function PoolList() {
  const { value, error, reload } = usePools();
  const [isCreating, setCreating] = useState(false);
  return (
    <>
      <SearchedList name="pools" label={t('access.pools')} columns={COLUMNS} list={value} error={error} onRetry={reload} idOf={(p) => p.poolid} textOf={(p) => `${p.poolid} ${p.comment ?? ''}`}
        onOpen={(p) => go(poolHref(p.poolid))} tools={canAnywhere('Pool.Allocate') && <Button tone="main" icon="plus" onClick={() => setCreating(true)}>{t('access.pool.create')}</Button>}
        empty={{ icon: 'square', title: t('access.pools.none'), help: t('access.pools.help') }} />
      {isCreating && <PoolDialog pool={null} onClose={() => setCreating(false)} />}
    </>
  );
}

function leaving(m: Member): Leaving {
  return m.storage ? { id: m.id, name: m.storage, values: { storage: m.storage } } : { id: m.id, name: m.name ?? String(m.vmid), values: { vms: String(m.vmid) } };
}

function MemberRow({ member: m, mayRemove, onRemove }: { member: Member; mayRemove: boolean; onRemove: (l: Leaving) => void }) {
  const guest = store.tables.guest.row(String(m.vmid))?.value;
  const isStorage = m.type === 'storage';
  const name = isStorage ? m.storage ?? '' : guest?.name ?? m.name ?? '';
  const to = isStorage ? href('storage', m.node ?? '', m.storage ?? '') : href('guests', m.vmid ?? 0);
  const path = isStorage ? `/storage/${m.storage ?? ''}` : `/vms/${m.vmid ?? ''}`;
  return (
    <li>
      <Icon name={isStorage ? 'disk' : 'guests'} /><a class="ellipsis" href={to}>{name}</a>{!isStorage && <span class="quiet num">{m.vmid}</span>}<span class="grow" />
      <State state={guest ? stateOf(guest) : m.status ?? ''} />
      {mayRemove && mayAcl(path) && <Button tone="ghost" icon="close" label={t('access.pool.removeOne', { name })} onClick={() => onRemove(leaving(m))} />}
    </li>
  );
}

export function PoolPage({ id }: { id: string }) {
  const { value, error } = usePool(id);
  const [ask, setAsk] = useState<'edit' | 'add' | 'delete' | null>(null);
  const [gone, setGone] = useState<Leaving | null>(null);
  const pool = value?.[0];
  if (!pool)
    return error ? <Gone back="/access/pools" backText={t('access.pools')} icon="square" /> : <Waiting />;
  const members = pool.members ?? [];
  const may = mayPool(id);
  const close = (): void => setAsk(null);
  return (
    <Thing back="/access/pools" backText={t('access.pools')} title={id} state={pool.comment && <span class="quiet">{pool.comment}</span>} tools={may && <>
      <Button icon="edit" onClick={() => setAsk('edit')}>{t('access.edit')}</Button>
      <Button icon="trash" onClick={() => setAsk('delete')}>{t('access.delete')}</Button>
    </>}>
      <Panel title={t('access.members')} tools={may && <Button icon="plus" onClick={() => setAsk('add')}>{t('access.pool.add')}</Button>}>
        {members.length === 0 ? <p class="quiet pad">{t('access.pool.empty')}</p>
          : <ul class="rows">{members.map((m) => <MemberRow key={m.id} member={m} mayRemove={may} onRemove={setGone} />)}</ul>}
      </Panel>
      <AclPanel path={`/pool/${id}`} />
      {ask === 'edit' && <PoolDialog pool={pool} onClose={close} />}
      {ask === 'add' && <AddMembers pool={pool} onClose={close} />}
      {ask === 'delete' && <DeletePool pool={pool} onClose={close} />}
      {gone && <RemoveMember pool={id} member={gone} onClose={() => setGone(null)} />}
    </Thing>
  );
}
