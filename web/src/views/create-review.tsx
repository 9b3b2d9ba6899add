// All of it at a glance, each part with the way back to it; what the server would do; and the same as a command.
import { useEffect } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { ApiError } from '../core/api.ts';
import { fileOf, type Engine, type Step } from '../core/create.ts';
import { refusals, stepOf } from '../core/create-check.ts';
import { password, refused } from '../core/create-draft.ts';
import { shown } from '../core/create-request.ts';
import { bytes, unitName } from '../core/format.ts';
import { t, type Key } from '../core/i18n.ts';
import { EqualCall } from '../parts/equal.tsx';
import { Icon } from '../parts/icon.tsx';
import { PlanList, usePlan } from '../parts/plan.tsx';
import { Facts } from '../parts/small.tsx';
import { osName } from './create-basics.tsx';
import { busName } from './create-disks.tsx';
import { labelOf, STEP_TITLE } from './create-labels.ts';
import { modelName } from './create-network.tsx';
import type { Wizard } from './create-wizard.ts';

type Fact = readonly [string, ComponentChildren];

const MIB = 1024 ** 2;
const ENGINE_NAME: Readonly<Record<Engine, Key>> = { auto: 'create.engine.auto', qemu: 'create.engine.qemu', vmm: 'create.engine.vmm' };
const yesNo = (value: boolean): string => t(value ? 'yes' : 'no');

function sourceFacts({ d, offer }: Wizard): Fact[] {
  switch (d.source) {
    case 'iso': return [[t('create.iso'), fileOf(d.iso) || '–']];
    case 'image': return [[t('create.image'), fileOf(d.image) || '–']];
    case 'kernel': return [[t('key.kernel'), fileOf(d.kernel) || '–'], [t('key.initrd'), fileOf(d.initrd) || '–'], [t('key.cmdline'), d.cmdline || '–']];
    case 'template': return [[t('create.template'), offer.templates.find((g) => String(g.vmid) === d.template)?.name ?? '–'], [t('create.full'), yesNo(d.isFull)]];
    case 'empty': return [[t('create.step.source'), t('create.empty')]];
  }
}

function basicFacts({ d, suggested }: Wizard): Fact[] {
  return [
    [t('guest.name'), d.name || suggested], [t('guest.id'), <span class="num">{d.vmid}</span>], [t('guest.node'), d.node], [t('guest.pool'), d.pool || '–'],
    [t('guest.tags'), d.tags || '–'], ...(d.source === 'template' ? [] : [[t('key.ostype'), osName(d.ostype)] as const]), [t('create.start'), yesNo(d.isStarted)], [t('key.onboot'), yesNo(d.onboot)],
  ];
}

function hardwareFacts({ d, request }: Wizard): Fact[] {
  const isScsiVirtio = !d.ostype.startsWith('w');
  return [
    [t('guest.cpu'), `${t('guest.cpus', { n: Number(d.cores) * Number(d.sockets) })}${d.cpu ? `, ${d.cpu}` : ''}`], [t('guest.memory'), bytes(Number(d.memory) * MIB)],
    ...d.disks.map((disk, i): Fact => [`${t('key.disk')} ${request.diskKeys[i] ?? i + 1}`, t('create.diskFact', { size: `${disk.size} ${unitName(3)}`, storage: disk.storage, bus: busName(disk.bus, isScsiVirtio) })]),
    [t('key.bios'), d.engine === 'vmm' ? '–' : d.bios === 'ovmf' ? 'UEFI (OVMF)' : 'BIOS (SeaBIOS)'], [t('key.vga'), d.vga === 'std' ? t('create.vga.std') : d.vga === 'serial0' ? t('create.vga.serial') : d.vga],
    ...(d.hasTpm ? [[t('create.tpm'), t('yes')] as const] : []), [t('key.engine'), t(ENGINE_NAME[d.engine])],
  ];
}

function networkFacts({ d }: Wizard): Fact[] {
  if (!d.nics.length)
    return [[t('key.net'), t('create.network.none')]];
  return d.nics.map((n, i) => [`net${i}`, `${n.bridge || 'NAT'}${n.tag ? `, VLAN ${n.tag}` : ''}, ${modelName(n.model)}`] as const);
}

function cloudInitFacts({ d, hasDrive }: Wizard): Fact[] {
  if (!d.hasCloudInit || (d.source === 'template' && !hasDrive))
    return [[t('tab.cloudinit'), t(d.source === 'template' && hasDrive ? 'create.ci.asTemplate' : 'no')]];
  const keys = d.sshkeys.split('\n').filter((line) => line.trim()).length;
  return [
    [t('create.user'), d.ciuser || t('create.user.image')], [t('create.password'), password.value ? '••••••••' : '–'], [t('create.sshkeys'), t('create.keys.count', { n: keys })],
    ...d.nics.map((n, i): Fact => [t('create.addresses', { name: `net${i}` }), [n.ip === 'static' ? n.address : n.ip === 'dhcp' ? 'DHCP' : '', n.ip6 === 'static' ? n.address6 : n.ip6 ? `IPv6 ${n.ip6}` : ''].filter(Boolean).join(', ') || '–']),
    ...(d.nameserver || d.searchdomain ? [[t('create.nameserver'), `${d.nameserver} ${d.searchdomain}`] as const] : []),
  ];
}

const FACTS: Readonly<Partial<Record<Step, (w: Wizard) => Fact[]>>> = { source: sourceFacts, basics: basicFacts, hardware: hardwareFacts, network: networkFacts, cloudinit: cloudInitFacts };

/** Fields of which something is to be said, each with the way to it. */
function Wrong({ w }: { w: Wizard }) {
  const fields = [...new Set([...Object.keys(w.problems), ...Object.keys(refused.value)])];
  if (!fields.length)
    return null;
  return (
    <div class="error-box" role="alert"><Icon name="warn" />
      <div class="grow"><p>{t('create.wrong')}</p>
        <ul>{fields.map((f) => <li key={f}><a href={`/guests/new?step=${stepOf(f)}`}>{labelOf(f)}</a>: {w.wrong(f) ?? t(w.problems[f]?.text ?? 'create.wrong')}</li>)}</ul>
      </div>
    </div>
  );
}

/** The server's word on the draft as it is, as long as nothing is wrong already. */
export function useReview(w: Wizard | null, isOpen: boolean) {
  const first = w?.request.calls[0];
  const isAsked = w !== null && isOpen && first !== undefined && !Object.keys(w.problems).length;
  const plan = usePlan(isAsked ? { method: first.method, path: first.path, values: first.values } : null);
  useEffect(() => {
    if (w && plan.error instanceof ApiError)
      refused.value = refusals(plan.error, w.request);
  }, [plan.error]);
  return { plan, isAsked, isGood: plan.steps !== null };
}

export function ReviewStep({ w, review }: { w: Wizard; review: ReturnType<typeof useReview> }) {
  const [first, ...rest] = w.request.calls;
  const last = [t('create.plan.guest', { name: w.d.name || w.suggested, id: w.d.vmid }), ...rest.map((c) => t(c.what === 'start' ? 'create.plan.start' : c.what === 'resize' ? 'create.plan.resize' : 'create.plan.configure', { size: `${w.d.disks[0]?.size ?? ''} ${unitName(3)}` }))];
  return (
    <>
      <Wrong w={w} />
      {w.steps.filter((s) => s !== 'review').map((step) => (
        <section key={step} class="review">
          <header class="row"><h3 class="grow">{t(STEP_TITLE[step])}</h3><a href={`/guests/new?step=${step}`} aria-label={t('create.changeOf', { what: t(STEP_TITLE[step]) })}>{t('create.change')}</a></header>
          <Facts facts={FACTS[step]?.(w) ?? []} />
        </section>
      ))}
      {review.isAsked && <section class="review"><h3>{t('plan.title')}</h3><PlanList plan={review.plan} last={last} /></section>}
      {review.isAsked && first && <EqualCall method={first.method} path={first.path} values={shown(first)} command={first.command}
        then={rest.map((c) => ({ method: c.method, path: c.path, values: shown(c), command: c.command }))} />}
    </>
  );
}
