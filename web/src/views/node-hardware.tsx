// PCI and USB devices of a node, as guests could be given them.
import { get } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { can } from '../core/perms.ts';
import { place, setQuery } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Check } from '../parts/field.tsx';
import { Loading } from '../parts/loading.tsx';
import { PlainTable, type PlainColumn } from '../parts/plain-table.tsx';
import { Panel } from '../parts/small.tsx';
import { useLoad } from '../parts/use.ts';

interface Pci { id: string; class: string; vendor: string; device: string; vendor_name?: string; device_name?: string; subsystem_device_name?: string; subsystem_vendor_name?: string; iommugroup: number; mdev?: number }
interface Usb { busnum: number; devnum: number; class: number; vendid: string; prodid: string; manufacturer?: string; product?: string; serial?: string; speed: string; usbpath?: string }
interface Mdev { type: string; available: number; name?: string; description: string }

const hex = (text: string): string => text.replace(/^0x/, '');

const PCI: readonly PlainColumn<Pci>[] = [
  { id: 'id', title: 'node.hw.address', cell: (d) => <code>{d.id}</code> },
  { id: 'device', title: 'node.hw.device', cell: (d) => <span class="lines"><span>{d.device_name ?? `${hex(d.vendor)}:${hex(d.device)}`}</span><span class="quiet">{d.vendor_name ?? ''}{d.subsystem_device_name ? ` · ${d.subsystem_device_name}` : ''}</span></span> },
  { id: 'ids', title: 'node.hw.ids', yields: 1, cell: (d) => <code>{`${hex(d.vendor)}:${hex(d.device)}`}</code> },
  { id: 'class', title: 'node.hw.class', yields: 2, cell: (d) => <code>{hex(d.class)}</code> },
  { id: 'iommu', title: 'node.hw.iommu', isEnd: true, yields: 1, cell: (d) => (d.iommugroup < 0 ? '–' : d.iommugroup) },
  { id: 'mdev', title: 'node.hw.mdev', isTools: true, cell: (d) => d.mdev && <Button tone="ghost" icon="columns" label={t('node.hw.mdevOf', { id: d.id })} onClick={() => setQuery({ mdev: d.id }, { push: true })} /> },
];

const USB: readonly PlainColumn<Usb>[] = [
  { id: 'port', title: 'node.hw.port', cell: (d) => <code>{d.usbpath ? `${d.busnum}-${d.usbpath}` : `${d.busnum}`}</code> },
  { id: 'device', title: 'node.hw.device', cell: (d) => <span class="lines"><span>{d.product ?? t('node.hw.unnamed')}</span>{d.manufacturer && <span class="quiet">{d.manufacturer}</span>}</span> },
  { id: 'ids', title: 'node.hw.ids', yields: 1, cell: (d) => <code>{`${hex(d.vendid)}:${hex(d.prodid)}`}</code> },
  { id: 'speed', title: 'node.hw.speed', isEnd: true, yields: 1, cell: (d) => `${d.speed} Mbit/s` },
  { id: 'serial', title: 'node.hw.serial', yields: 2, cell: (d) => d.serial ?? '' },
];

const MDEV: readonly PlainColumn<Mdev>[] = [
  { id: 'type', title: 'node.net.type', cell: (m) => <code>{m.type}</code> },
  { id: 'name', title: 'guest.name', cell: (m) => <span class="lines"><span>{m.name ?? ''}</span><span class="quiet">{m.description.replaceAll('\n', ', ')}</span></span> },
  { id: 'available', title: 'node.hw.available', isEnd: true, cell: (m) => m.available },
];

function MdevDialog({ node, id }: { node: string; id: string }) {
  const path = `${nodePath(node)}/hardware/pci/${encodeURIComponent(id)}/mdev`;
  const list = useLoad(path, '', () => get<Mdev[]>(path));
  return (
    <Dialog title={t('node.hw.mdevOf', { id })} isWide onClose={() => setQuery({ mdev: null })}>
      <Loading of={list}>{(all) => <PlainTable label={t('node.hw.mdev')} columns={MDEV} rows={all} idOf={(m) => m.type} empty={t('node.hw.noMdev')} />}</Loading>
    </Dialog>
  );
}

export default function NodeHardware({ node }: { node: string }) {
  const path = `${nodePath(node)}/hardware`;
  const isAll = place.value.query.get('all') === '1', mdev = place.value.query.get('mdev');
  const mayUsb = can('/', 'Sys.Modify');
  const pci = useLoad(`${path} ${isAll}`, '', () => get<Pci[]>(`${path}/pci`, isAll ? { 'pci-class-blacklist': '' } : {}));
  const usb = useLoad(`${path} usb ${mayUsb}`, '', () => (mayUsb ? get<Usb[]>(`${path}/usb`) : Promise.resolve([])));
  return (
    <div class="stack">
      <Panel title="PCI" tools={<><Check label={t('node.hw.all')} value={isAll} onChange={(on) => setQuery({ all: on ? '1' : null })} /><Button tone="ghost" icon="reload" label={t('node.again')} onClick={pci.reload} /></>}>
        <Loading of={pci}>{(all) => <PlainTable label="PCI" columns={PCI} rows={all} idOf={(d) => d.id} empty={t('node.hw.noPci')} />}</Loading>
      </Panel>
      {mayUsb && <Panel title="USB" tools={<Button tone="ghost" icon="reload" label={t('node.again')} onClick={usb.reload} />}>
        <Loading of={usb}>{(all) => <PlainTable label="USB" columns={USB} rows={all} idOf={(d) => `${d.busnum}.${d.devnum}`} empty={t('node.hw.noUsb')} />}</Loading>
      </Panel>}
      {mdev && <MdevDialog node={node} id={mdev} />}
    </div>
  );
}
