// Where the system comes from: all else follows from it.
import { useEffect } from 'preact/hooks';
import { SOURCES, fileOf, guessOs, type Source } from '../core/create.ts';
import { change } from '../core/create-draft.ts';
import { diskStorages } from '../core/create-offer.ts';
import { t, type Key } from '../core/i18n.ts';
import { Check, Field, Select } from '../parts/field.tsx';
import { Icon, type IconName } from '../parts/icon.tsx';
import type { Volume } from '../parts/pickers.tsx';
import { Catalogue } from './create-images.tsx';
import { VolumeChoice, useVolumesOf } from './create-volumes.tsx';
import type { Wizard } from './create-wizard.ts';

const GIB = 1024 ** 3;

interface Card { icon: IconName; title: Key; text: Key; fits?: (w: Wizard) => boolean }

const CARDS: Readonly<Record<Source, Card>> = {
  iso: { icon: 'disc', title: 'create.iso', text: 'create.iso.text', fits: (w) => w.may('VM.Config.CDROM') },
  image: { icon: 'cloud', title: 'create.image', text: 'create.image.text', fits: (w) => w.may('VM.Config.Disk') },
  kernel: { icon: 'bolt', title: 'create.kernel', text: 'create.kernel.text', fits: (w) => w.may('VM.Config.HWType') },
  template: { icon: 'copy', title: 'create.template', text: 'create.template.text', fits: (w) => w.offer.templates.length > 0 },
  empty: { icon: 'square', title: 'create.empty', text: 'create.empty.text' },
};

/** Those that make sense for this user, here. */
export const sourcesOf = (w: Wizard): Source[] => SOURCES.filter((s) => CARDS[s].fits?.(w) ?? true);

function Cards({ w }: { w: Wizard }) {
  return (
    <fieldset class="cards">
      <legend class="hidden-text">{t('create.step.source')}</legend>
      {sourcesOf(w).map((id) => (
        <label key={id} class="card">
          <input type="radio" name="source" value={id} checked={w.d.source === id} onChange={() => change({ source: id })} />
          <Icon name={CARDS[id].icon} />
          <span><strong>{t(CARDS[id].title)}</strong><span class="quiet">{t(CARDS[id].text)}</span></span>
        </label>
      ))}
    </fieldset>
  );
}

function Iso({ w }: { w: Wizard }) {
  const volumes = useVolumesOf(w, 'iso');
  return <VolumeChoice w={w} content="iso" label={t('create.iso')} none={t('create.iso.none')} volumes={volumes} value={w.d.iso} error={w.wrong('iso')}
    onChange={(v) => change({ iso: v.volid, ostype: guessOs(fileOf(v.volid)) })} />;
}

function Image({ w }: { w: Wizard }) {
  const volumes = useVolumesOf(w, 'import');
  const found = volumes?.find((v) => v.volid === w.d.image);
  const size = found ? found.size / GIB : w.d.imageSize;
  useEffect(() => { // an image that was downloaded is chosen before its size is known
    if (size !== w.d.imageSize)
      change({ imageSize: size });
  }, [size]);
  const choose = (v: Volume): void => change({ image: v.volid, ostype: guessOs(fileOf(v.volid)) });
  return (
    <>
      <VolumeChoice w={w} content="import" label={t('create.image')} none={t('create.image.none')} volumes={volumes?.filter((v) => v.format === 'qcow2' || v.format === 'raw') ?? null}
        value={w.d.image} error={w.wrong('image')} onChange={choose} />
      {volumes && <Catalogue w={w} volumes={volumes} />}
    </>
  );
}

function Kernel({ w }: { w: Wizard }) {
  const volumes = useVolumesOf(w, 'boot');
  const isRamDisk = (v: Volume): boolean => /initrd|initramfs|\.cpio/i.test(fileOf(v.volid));
  const initrds = [...(volumes ?? [])].sort((a, b) => Number(isRamDisk(b)) - Number(isRamDisk(a)));
  const choose = (v: Volume): void => change({ kernel: v.volid, initrd: w.d.initrd || (initrds.find(isRamDisk)?.volid ?? '') });
  return (
    <>
      <VolumeChoice w={w} content="boot" label={t('key.kernel')} none={t('create.kernel.none')} volumes={volumes?.filter((v) => !isRamDisk(v)) ?? null} value={w.d.kernel}
        error={w.wrong('kernel')} onChange={choose} />
      {w.d.kernel && <div class="fields">
        <Select label={t('key.initrd')} value={w.d.initrd} error={w.wrong('initrd')} onChange={(initrd) => change({ initrd })}
          options={[['', t('create.kernel.noInitrd')], ...initrds.filter((v) => v.volid !== w.d.kernel).map((v) => [v.volid, fileOf(v.volid)] as const)]} />
        <Field label={t('key.cmdline')} value={w.d.cmdline} error={w.wrong('cmdline')} onInput={(cmdline) => change({ cmdline })} help={t('create.kernel.cmdline')} />
      </div>}
    </>
  );
}

function Template({ w }: { w: Wizard }) {
  const storages = diskStorages(w.offer).map((s) => [s.storage, s.storage] as const);
  return (
    <>
      <fieldset class={w.wrong('template') ? 'choices field wrong' : 'choices field'}>
        <legend>{t('create.template')}</legend>
        <div class="choice-list">{w.offer.templates.map((g) => (
          <label key={g.vmid} class="choice">
            <input type="radio" name="template" value={String(g.vmid)} checked={w.d.template === String(g.vmid)} onChange={() => change({ template: String(g.vmid) })} />
            <span class="grow ellipsis">{g.name}</span><span class="quiet num">{g.vmid}</span>
          </label>
        ))}</div>
        {w.wrong('template') && <p class="field-error">{w.wrong('template')}</p>}
      </fieldset>
      <Check label={t('create.full')} help={t('create.full.help')} value={w.d.isFull} onChange={(isFull) => change({ isFull })} />
      {w.d.isFull && <Select label={t('create.cloneStorage')} value={w.d.cloneStorage} error={w.wrong('storage')} onChange={(cloneStorage) => change({ cloneStorage })} options={[['', t('create.sameStorage')], ...storages]} />}
    </>
  );
}

export function SourceStep({ w }: { w: Wizard }) {
  return (
    <>
      <Cards w={w} />
      {w.d.source === 'iso' && <Iso w={w} />}
      {w.d.source === 'image' && <Image w={w} />}
      {w.d.source === 'kernel' && <Kernel w={w} />}
      {w.d.source === 'template' && <Template w={w} />}
    </>
  );
}
