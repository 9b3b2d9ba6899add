// Interfaces of a node as they will be, what waits to be applied, addresses given away, counters of guests.
import { useState } from 'preact/hooks';
import { del, get } from '../core/api.ts';
import { t, type Key } from '../core/i18n.ts';
import { isOurs, reachedOver, words, type Interface, type Kind } from '../core/network.ts';
import { typeName } from '../core/network-labels.ts';
import { nodePath } from '../core/paths.ts';
import { canNode } from '../core/perms.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';
import { Loading } from '../parts/loading.tsx';
import { PlainTable, type PlainColumn } from '../parts/plain-table.tsx';
import { Panel, Tag } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';
import { InterfaceDialog } from './node-interface.tsx';
import { NetworkUse } from './node-network-use.tsx';
import { PendingPanel } from './node-pending.tsx';

type Ask = { kind: 'edit'; type: Kind; of?: Interface; isNat?: boolean } | { kind: 'delete'; of: Interface } | null;

const PENDING: Readonly<Record<NonNullable<Interface['pending']>, Key>> = { new: 'node.net.new', change: 'node.net.changed', delete: 'node.net.deleted' };

function What({ i }: { i: Interface }) {
  const parts = [
    words(i.bridge_ports).length > 0 && `${t('node.net.ports')}: ${words(i.bridge_ports).join(', ')}`,
    i.slaves && `${t('node.net.slaves')}: ${words(i.slaves).join(', ')}`, i.bond_mode, i['vlan-raw-device'] && `${i['vlan-raw-device']}, VLAN ${i['vlan-id'] ?? ''}`,
    i.bridge_vlan_aware && t('node.net.vlanAware'), i.mtu && `MTU ${i.mtu}`, i['dhcp-range'] && `DHCP ${i['dhcp-range']}`,
  ].filter((x): x is string => typeof x === 'string');
  return <span class="net-what">{i.nat ? <Tag name="NAT" /> : null}{parts.join(' · ')}{i.comments && <span class="quiet"> {i.comments.trim()}</span>}</span>;
}

const up = (i: Interface): string => (i.active ? 'online' : i.exists ? 'stopped' : 'unknown');

function columnsOf(mayEdit: boolean, mine: string | undefined, onAsk: (ask: Ask) => void): PlainColumn<Interface>[] {
  const tools = (i: Interface) => mayEdit && i.pending !== 'delete' && (isOurs(i) || i.type === 'eth') && (
    <span class="row">
      <Button tone="ghost" icon="edit" label={t('node.net.edit', { name: i.iface })} onClick={() => onAsk({ kind: 'edit', type: i.type as Kind, of: i })} />
      {isOurs(i) && <Button tone="ghost" icon="trash" label={t('node.net.delete', { name: i.iface })} onClick={() => onAsk({ kind: 'delete', of: i })} />}
    </span>
  );
  return [
    { id: 'iface', title: 'guest.name', cell: (i) => <span class="row"><State state={up(i)} isBare /><strong class={i.pending === 'delete' ? 'gone' : undefined}>{i.iface}</strong>{i.pending && <span class={`pill ${i.pending}`}>{t(PENDING[i.pending])}</span>}{i.iface === mine && <span class="pill">{t('node.net.mine')}</span>}</span> },
    { id: 'type', title: 'node.net.type', yields: 1, cell: (i) => typeName(i.type) },
    { id: 'address', title: 'node.net.address', cell: (i) => <span class="lines num">{[i.cidr, i.cidr6].filter(Boolean).map((a) => <span key={a}>{a}</span>)}{i.gateway && <span class="quiet">→ {i.gateway}</span>}{i.gateway6 && <span class="quiet">→ {i.gateway6}</span>}</span> },
    { id: 'autostart', title: 'node.net.autostart', yields: 2, cell: (i) => (i.autostart ? t('yes') : t('no')) },
    { id: 'what', title: 'node.net.settings', yields: 1, cell: (i) => <What i={i} /> },
    ...(mayEdit ? [{ id: 'tools', title: 'more', isTools: true, cell: tools } satisfies PlainColumn<Interface>] : []),
  ];
}

export default function NodeNetwork({ node }: { node: string }) {
  const path = `${nodePath(node)}/network`;
  const list = useLoad(path, '', () => get<Interface[]>(path));
  const [ask, setAsk] = useState<Ask>(null);
  const mayEdit = canNode(node, 'Sys.Modify');
  const close = (): void => setAsk(null);
  const tools = mayEdit && (
    <Menu label={t('node.net.create')} icon="plus">
      <MenuItem icon="net" onClick={() => setAsk({ kind: 'edit', type: 'bridge' })}>{t('node.net.bridge')}</MenuItem>
      <MenuItem icon="out" onClick={() => setAsk({ kind: 'edit', type: 'bridge', isNat: true })}>{t('node.net.natBridge')}</MenuItem>
      <MenuItem icon="columns" onClick={() => setAsk({ kind: 'edit', type: 'bond' })}>{t('node.net.bond')}</MenuItem>
      <MenuItem icon="log" onClick={() => setAsk({ kind: 'edit', type: 'vlan' })}>{t('node.net.vlan')}</MenuItem>
    </Menu>
  );
  return (
    <div class="stack">
      <Loading of={list}>{(all) => {
        const sorted = [...all].sort((a, b) => a.iface.localeCompare(b.iface, 'en', { numeric: true }));
        const remove = async (i: Interface): Promise<void> => { await del(`${path}/${encodeURIComponent(i.iface)}`); list.reload(); };
        return <>
          {sorted.some((i) => i.pending) && <PendingPanel node={node} list={sorted} mayApply={mayEdit} onDone={list.reload} />}
          <Panel title={t('node.net.title')} tools={tools}>
            <PlainTable label={t('node.net.title')} columns={columnsOf(mayEdit, reachedOver(all, location.hostname)?.iface, setAsk)} rows={sorted} idOf={(i) => i.iface} empty={t('node.net.none')} />
          </Panel>
          {ask?.kind === 'edit' && <InterfaceDialog node={node} type={ask.type} before={ask.of} isNat={ask.isNat ?? false} all={all} onDone={list.reload} onClose={close} />}
          {ask?.kind === 'delete' && <FormDialog title={t('node.net.delete', { name: ask.of.iface })} submit={t('node.delete')} isDanger onClose={close} onSubmit={() => remove(ask.of)}>
            {() => <><p>{t(ask.of.pending === 'new' ? 'node.net.deleteNew' : 'node.net.deleteText')}</p>{ask.of.cidr && <p class="quiet num">{ask.of.cidr}</p>}</>}
          </FormDialog>}
        </>;
      }}</Loading>
      <NetworkUse node={node} />
    </div>
  );
}
