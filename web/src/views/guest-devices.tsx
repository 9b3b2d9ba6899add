// A guest's drives and network cards in short; the hardware tab has the rest.
import { bytes } from '../core/format.ts';
import { sizeBytes } from '../core/hardware.ts';
import { t } from '../core/i18n.ts';
import { parseProperties } from '../core/property.ts';
import { href } from '../core/router.ts';
import type { Guest } from '../core/store.ts';
import { Icon } from '../parts/icon.tsx';
import { Panel } from '../parts/small.tsx';
import type { Config } from './guest-summary.tsx';

const DRIVE = /^(scsi|virtio|sata|ide|efidisk|tpmstate)\d+$/;
const CARD = /^net\d+$/;
const MODELS = ['virtio', 'e1000', 'e1000e', 'rtl8139', 'vmxnet3'];

export interface Device { key: string; isCard: boolean; what: string; more: string }

/** "virtio=BC:24:11:00:00:01,bridge=vmbr0": the model is the name of the part that has the address. */
function card(key: string, value: string): Device {
  const p = parseProperties(value, 'model');
  const model = p.get('model') ?? MODELS.find((m) => p.has(m)) ?? [...p.keys()][0] ?? '';
  return { key, isCard: true, what: p.get('bridge') ?? t('guest.nat'), more: [model, p.get(model) ?? p.get('macaddr') ?? ''].filter(Boolean).join(' ') };
}

function sizeText(size: string | undefined): string {
  const n = sizeBytes(size ?? '');
  return Number.isFinite(n) ? bytes(n) : (size ?? '');
}

function drive(key: string, value: string): Device {
  const p = parseProperties(value, 'file');
  return { key, isCard: false, what: p.get('file') ?? value, more: p.get('media') === 'cdrom' ? t('guest.cdrom') : sizeText(p.get('size')) };
}

export function devicesOf(config: Config): Device[] {
  return Object.keys(config).filter((k) => DRIVE.test(k) || CARD.test(k)).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .map((k) => (CARD.test(k) ? card : drive)(k, String(config[k]))).sort((a, b) => Number(a.isCard) - Number(b.isCard));
}

export function Devices({ guest, config }: { guest: Guest; config: Config | null }) {
  const list = config ? devicesOf(config) : [];
  return (
    <Panel title={t('guest.devices')} tools={<a href={href('guests', guest.vmid, 'hardware')}>{t('tab.hardware')}</a>}>
      {config && !list.length && <p class="quiet pad">{t('guest.noDevices')}</p>}
      <ul class="devices">{list.map((d) => (
        <li key={d.key}><Icon name={d.isCard ? 'net' : 'disk'} /><span class="quiet device-key">{d.key}</span><code class="grow">{d.what}</code><span class="quiet num">{d.more}</span></li>
      ))}</ul>
    </Panel>
  );
}
