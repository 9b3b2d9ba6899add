// The machine: processor, memory, disks; firmware and display; and which program runs it.
import { get, post } from '../core/api.ts';
import { ENGINES, isWindows, type Draft, type Engine } from '../core/create.ts';
import { change } from '../core/create-draft.ts';
import { lacksDrivers } from '../core/create-check.ts';
import { bytes } from '../core/format.ts';
import { t, type Key } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { errorText } from '../core/tasks.ts';
import { Check, Field, Select } from '../parts/field.tsx';
import { useLoad } from '../parts/use.ts';
import { Disks } from './create-disks.tsx';
import type { Wizard } from './create-wizard.ts';

const MIB = 1024 ** 2;
const VGAS = ['std', 'virtio', 'qxl', 'vmware', 'cirrus', 'serial0', 'none'] as const;

interface Model { name: string; custom: number }

function Cpu({ w }: { w: Wizard }) {
  const models = useLoad(`models ${w.d.node}`, '', () => get<Model[]>(`${nodePath(w.d.node)}/capabilities/qemu/cpu`).catch(() => [])).value ?? [];
  const names = ['x86-64-v2-AES', 'x86-64-v3', 'x86-64-v4', ...models.map((m) => m.name)];
  const isVmm = w.d.engine === 'vmm';
  return (
    <fieldset class="group">
      <legend>{t('create.cpu')}</legend>
      <div class="fields three">
        <Field label={t('key.cores')} name="cores" type="number" value={w.d.cores} error={w.wrong('cores')} onInput={(cores) => change({ cores })} />
        <Field label={t('key.sockets')} name="sockets" type="number" value={w.d.sockets} error={w.wrong('sockets')} onInput={(sockets) => change({ sockets })} />
        {!isVmm && <Select label={t('key.cpu')} value={w.d.cpu} error={w.wrong('cpu')} onChange={(cpu) => change({ cpu })}
          options={[['', t('create.cpu.host')], ...[...new Set(names)].filter((n) => n !== 'host').map((n) => [n, n] as const)]} />}
      </div>
    </fieldset>
  );
}

function Memory({ w }: { w: Wizard }) {
  const mib = Number(w.d.memory);
  return (
    <fieldset class="group">
      <legend>{t('guest.memory')}</legend>
      <div class="fields three">
        <Field label={t('create.memory')} name="memory" type="number" value={w.d.memory} error={w.wrong('memory')} onInput={(memory) => change({ memory })} help={mib > 0 ? bytes(mib * MIB) : undefined} />
        <div class="chips row wrap presets" role="group" aria-label={t('create.presets')}>
          {[1, 2, 4, 8, 16].map((gib) => <button key={gib} type="button" class="chip" aria-pressed={mib === gib * 1024} onClick={() => change({ memory: String(gib * 1024) })}>{bytes(gib * 1024 * MIB)}</button>)}
        </div>
      </div>
      <Check label={t('create.balloon')} help={t('create.balloon.help')} value={w.d.balloon} onChange={(balloon) => change({ balloon })} />
    </fieldset>
  );
}

const ENGINE_TEXT: Readonly<Record<Engine, readonly [Key, Key]>> = {
  auto: ['create.engine.auto', 'create.engine.auto.text'], qemu: ['create.engine.qemu', 'create.engine.qemu.text'], vmm: ['create.engine.vmm', 'create.engine.vmm.text'],
};

/** Why the engine vmm cannot run here; '' when it can. The server says so to a plan of a guest that nobody makes. */
function useVmm(w: Wizard): string | null {
  const { vmid, pool, kernel, node } = w.d;
  const ask = (): Promise<string> => post(`${nodePath(node)}/qemu`, { vmid, pool: pool || undefined, kernel, engine: 'vmm', vga: 'serial0', 'dry-run': 1 }).then(() => '', errorText);
  return useLoad(`vmm ${node} ${kernel}`, '', () => (w.d.source === 'kernel' && kernel ? ask() : Promise.resolve(null))).value;
}

function EngineChoice({ w }: { w: Wizard }) {
  const why = useVmm(w);
  const offered = ENGINES.filter((e) => e !== 'vmm' || w.d.source === 'kernel');
  return (
    <fieldset class="choices field">
      <legend>{t('key.engine')}</legend>
      <div class="choice-list">{offered.map((e) => {
        const isOff = e === 'vmm' && why !== '' && w.d.engine !== 'vmm';
        return (
          <label key={e} class={isOff ? 'choice off' : 'choice'}>
            <input type="radio" name="engine" value={e} checked={w.d.engine === e} disabled={isOff} onChange={() => change({ engine: e })} />
            <span><strong>{t(ENGINE_TEXT[e][0])}</strong><span class="field-help">{isOff && why ? why : t(ENGINE_TEXT[e][1])}</span></span>
          </label>
        );
      })}</div>
      {w.wrong('engine') && <p class="field-error">{w.wrong('engine')}</p>}
    </fieldset>
  );
}

function Firmware({ w }: { w: Wizard }) {
  if (w.d.engine === 'vmm')
    return null;
  const hasDisks = w.may('VM.Config.Disk');
  return (
    <fieldset class="group">
      <legend>{t('create.firmware')}</legend>
      <div class="fields three">
        {w.may('VM.Config.Options') && <Select label={t('key.bios')} value={w.d.bios} error={w.wrong('bios')} onChange={(bios) => change({ bios: bios as Draft['bios'] })} options={[['seabios', 'BIOS (SeaBIOS)'], ['ovmf', 'UEFI (OVMF)']]} />}
        {w.may('VM.Config.HWType') && <Select label={t('key.machine')} value={w.d.machine} error={w.wrong('machine')} onChange={(m) => change({ machine: m as Draft['machine'] })} options={[['', t('create.q35')], ['pc', t('create.pc')]]} />}
        {w.may('VM.Config.HWType') && <Select label={t('key.vga')} value={w.d.vga} error={w.wrong('vga')} onChange={(vga) => change({ vga, ...(vga === 'serial0' ? { serial: true } : {}) })}
          options={VGAS.map((v) => [v, v === 'std' ? t('create.vga.std') : v === 'serial0' ? t('create.vga.serial') : v === 'none' ? t('create.vga.none') : v] as const)} />}
      </div>
      <div class="checks">
        {w.d.bios === 'ovmf' && hasDisks && <Check label={t('create.efidisk')} help={t('create.efidisk.help')} value={w.d.hasEfiDisk} onChange={(hasEfiDisk) => change({ hasEfiDisk })} />}
        {w.d.bios === 'ovmf' && hasDisks && w.d.hasEfiDisk && <Check label={t('create.keys')} value={w.d.hasKeys} onChange={(hasKeys) => change({ hasKeys })} />}
        {hasDisks && <Check label={t('create.tpm')} help={isWindows(w.d.ostype) ? t('create.tpm.help') : ''} value={w.d.hasTpm} onChange={(hasTpm) => change({ hasTpm })} />}
        {w.wrong('tpm') && <p class="field-error">{w.wrong('tpm')}</p>}
        {w.may('VM.Config.HWType') && <Check label={t('create.serial')} help={t('create.serial.help')} value={w.d.serial} onChange={(serial) => change({ serial, ...(!serial && w.d.vga === 'serial0' ? { vga: 'std' } : {}) })} />}
        {w.may('VM.Config.Options') && <Check label={t('key.agent')} help={t('create.agent.help')} value={w.d.agent} onChange={(agent) => change({ agent })} />}
      </div>
    </fieldset>
  );
}

export function HardwareStep({ w }: { w: Wizard }) {
  return (
    <>
      {w.may('VM.Config.CPU') && <Cpu w={w} />}
      {w.may('VM.Config.Memory') && <Memory w={w} />}
      {w.may('VM.Config.Disk') && <Disks w={w} />}
      {lacksDrivers(w.d) && <p class="warn-text">{t('create.drivers')}</p>}
      <Firmware w={w} />
      {w.may('VM.Config.HWType') && <EngineChoice w={w} />}
    </>
  );
}
