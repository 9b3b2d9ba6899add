// One interface: made anew or changed, in the planned configuration.
import { useState } from 'preact/hooks';
import { ApiError, post, put } from '../core/api.ts';
import { t, type Key } from '../core/i18n.ts';
import { freeName, isOurs, SETTINGS, valuesOf, words, type Interface, type Kind, type Setting } from '../core/network.ts';
import { LABELS, typeName } from '../core/network-labels.ts';
import { nodePath } from '../core/paths.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Check, Field, Select } from '../parts/field.tsx';

type Wanted = Partial<Record<Setting, string>>;

const ADDRESSES = ['cidr', 'gateway', 'cidr6', 'gateway6'] as const;
const REST = ['mtu', 'comments', 'autostart'] as const;
const OF_KIND: Readonly<Record<Kind, readonly Setting[]>> = {
  bridge: [...ADDRESSES, 'bridge_ports', 'bridge_vlan_aware', 'nat', 'dhcp-range', ...REST],
  bond: ['slaves', 'bond_mode', 'bond_xmit_hash_policy', 'bond-primary', ...ADDRESSES, ...REST],
  vlan: ['vlan-raw-device', 'vlan-id', ...ADDRESSES, ...REST],
  eth: [...ADDRESSES, ...REST],
};
const MODES = ['balance-rr', 'active-backup', 'balance-xor', 'broadcast', '802.3ad', 'balance-tlb', 'balance-alb'];
const HASHES = ['', 'layer2', 'layer2+3', 'layer3+4'];
const WITH_HASH = ['balance-xor', '802.3ad', 'balance-tlb'];
const HELP: Readonly<Partial<Record<Setting, Key>>> = { cidr: 'node.net.cidrHelp', 'dhcp-range': 'node.net.dhcpHelp', bridge_ports: 'node.net.portsHelp', bridge_vlan_aware: 'node.net.vlanAwareHelp', nat: 'node.net.natHelp', autostart: 'node.net.autostartHelp' };
const FLAGS: readonly Setting[] = ['nat', 'bridge_vlan_aware', 'autostart'];

function begin(type: Kind, before: Interface | undefined, isNat: boolean, all: readonly Interface[]): Wanted {
  if (before)
    return Object.fromEntries(OF_KIND[type].map((key) => [key, String(before[key] ?? '').trim()]));
  const net = [87, 88, 89, 90, 91].find((n) => !all.some((i) => i.cidr?.startsWith(`10.${n}.`))) ?? 92;
  return {
    autostart: '1', ...(type === 'bond' ? { bond_mode: 'active-backup' } : {}),
    ...(isNat ? { nat: '1', cidr: `10.${net}.0.1/24`, 'dhcp-range': `10.${net}.0.16-10.${net}.0.254` } : {}),
  };
}

function fits(key: Setting, wanted: Wanted): boolean {
  if (key === 'bond_xmit_hash_policy')
    return WITH_HASH.includes(wanted.bond_mode ?? '');
  return key !== 'bond-primary' || wanted.bond_mode === 'active-backup';
}

interface EditProps { setting: Setting; wanted: Wanted; type: Kind; iface: string; all: readonly Interface[]; error: string | undefined; onInput: (value: string) => void }

/** Interfaces that can carry this one, with what is set although it is not there. */
function carriers(p: EditProps): string[] {
  const names = p.all.filter((i) => i.iface !== p.iface && i.pending !== 'delete' && (p.setting === 'slaves' ? i.type === 'eth' : i.type !== 'bridge' || p.type === 'vlan')).map((i) => i.iface);
  return [...new Set([...names, ...words(p.wanted[p.setting])])].sort();
}

function Several(p: EditProps) {
  const help = HELP[p.setting];
  const chosen = words(p.wanted[p.setting]);
  const names = carriers(p);
  return (
    <fieldset class={p.error ? 'several wrong' : 'several'}>
      <legend>{t(LABELS[p.setting])}</legend>
      {names.length ? <div class="row wrap">{names.map((name) => <Check key={name} label={name} value={chosen.includes(name)} onChange={(on) => p.onInput((on ? [...chosen, name] : chosen.filter((x) => x !== name)).join(' '))} />)}</div>
        : <p class="quiet">{t('node.net.noCards')}</p>}
      {p.error ? <p class="field-error">{p.error}</p> : help && <p class="field-help">{t(help)}</p>}
    </fieldset>
  );
}

function Edit(p: EditProps) {
  const { setting: key, wanted, error, onInput } = p;
  const label = t(LABELS[key]), value = wanted[key] ?? '', help = HELP[key] ? t(HELP[key]) : undefined;
  if (FLAGS.includes(key))
    return <div><Check label={label} {...(help ? { help } : {})} value={value === '1'} onChange={(on) => onInput(on ? '1' : '0')} />{error && <p class="field-error">{error}</p>}</div>;
  if (key === 'bridge_ports' || key === 'slaves')
    return <Several {...p} />;
  const names = (list: readonly string[]) => list.map((x) => [x, x || t('picker.choose')] as const);
  if (key === 'bond_mode')
    return <Select label={label} value={value} error={error} options={names(MODES)} onChange={onInput} />;
  if (key === 'bond_xmit_hash_policy')
    return <Select label={label} value={value} error={error} options={HASHES.map((x) => [x, x || t('node.net.kernelsChoice')] as const)} onChange={onInput} />;
  if (key === 'bond-primary')
    return <Select label={label} value={value} error={error} options={['', ...words(wanted.slaves)].map((x) => [x, x || t('node.net.none1')] as const)} onChange={onInput} />;
  if (key === 'vlan-raw-device')
    return <Select label={label} value={value} error={error} options={names(['', ...carriers(p)])} onChange={onInput} />;
  return <Field label={label} value={value} error={error} help={help} {...(key === 'mtu' || key === 'vlan-id' ? { inputmode: 'numeric' as const } : {})} onInput={onInput} />;
}

export function InterfaceDialog(p: { node: string; type: Kind; before: Interface | undefined; isNat: boolean; all: readonly Interface[]; onDone: () => void; onClose: () => void }) {
  const { type, before } = p;
  const [typedName, setName] = useState(before?.iface ?? (type === 'vlan' ? '' : freeName(p.all, type === 'bond' ? 'bond' : 'vmbr')));
  const [wanted, setWanted] = useState<Wanted>(() => begin(type, before, p.isNat, p.all));
  const isNamed = before !== undefined || typedName !== '' || type !== 'vlan';
  const iface = isNamed ? typedName : [wanted['vlan-raw-device'], wanted['vlan-id']].filter(Boolean).join('.');
  const keys = OF_KIND[type].filter((key) => fits(key, wanted));
  const all = Object.fromEntries(SETTINGS.filter((k) => OF_KIND[type].includes(k)).map((k) => [k, keys.includes(k) ? (wanted[k] ?? '') : '']));
  const path = `${nodePath(p.node)}/network`, onePath = `${path}/${encodeURIComponent(iface)}`;
  const isNew = !before || !isOurs(before);
  const values = { ...valuesOf(all, isNew ? undefined : before), type };
  const submit = async (): Promise<void> => {
    try {
      await (isNew ? post(path, { ...values, iface }) : put(onePath, values));
    } catch (e) {
      // A card of which nothing but an address is set looks like one that Holm does not know.
      if (!before || !isNew || !(e instanceof ApiError) || !e.fields['iface'])
        throw e;
      await put(onePath, { ...valuesOf(all, before), type });
    }
    p.onDone();
  };
  const title = before ? t('node.net.edit', { name: before.iface }) : p.isNat ? t('node.net.natBridge') : typeName(type);
  return (
    <FormDialog title={title} submit={t('node.net.plan')} onClose={p.onClose} onSubmit={submit}>
      {(fields) => <>
        {!before && <Field label={t('guest.name')} value={typedName || (isNamed ? '' : iface)} onInput={setName} error={fields['iface']} isRequired hasFocus help={type === 'vlan' ? t('node.net.vlanNameHelp') : undefined} />}
        <div class="form-grid">{keys.map((key) => (
          <div key={key} class={FLAGS.includes(key) || key === 'bridge_ports' || key === 'slaves' || key === 'comments' ? 'whole' : undefined}>
            <Edit setting={key} wanted={wanted} type={type} iface={iface} all={p.all} error={fields[key]} onInput={(v) => setWanted({ ...wanted, [key]: v })} />
          </div>
        ))}</div>
        <p class="quiet">{t('node.net.planHelp')}</p>
        <EqualCall method={isNew ? 'POST' : 'PUT'} path={isNew ? path : onePath} values={isNew ? { iface, ...values } : values} />
      </>}
    </FormDialog>
  );
}
