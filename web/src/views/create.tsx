// Making a guest, step by step on one page. Each step has an address; what was typed stays, whichever way one goes.
import { useEffect, useRef } from 'preact/hooks';
import type { ComponentType } from 'preact';
import { ApiError } from '../core/api.ts';
import { STEPS, type Step } from '../core/create.ts';
import { refusals, stepOf } from '../core/create-check.ts';
import { discard, isComplained, refused } from '../core/create-draft.ts';
import { make, making } from '../core/create-making.ts';
import { mayCreate } from '../core/create-rights.ts';
import { t } from '../core/i18n.ts';
import { hasLoaded } from '../core/live.ts';
import { go, place, type PathParams } from '../core/router.ts';
import { notify } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Icon } from '../parts/icon.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Empty } from '../parts/small.tsx';
import { BasicsStep } from './create-basics.tsx';
import { CloudInitStep } from './create-cloudinit.tsx';
import { HardwareStep } from './create-hardware.tsx';
import { STEP_TITLE } from './create-labels.ts';
import { MakingView } from './create-making.tsx';
import { NetworkStep } from './create-network.tsx';
import { ReviewStep, useReview } from './create-review.tsx';
import { SourceStep } from './create-source.tsx';
import { useWizard, type Wizard } from './create-wizard.ts';

const VIEWS: Readonly<Partial<Record<Step, ComponentType<{ w: Wizard }>>>> = {
  source: SourceStep, basics: BasicsStep, hardware: HardwareStep, network: NetworkStep, cloudinit: CloudInitStep,
};

const addressOf = (step: Step): string => (step === 'source' ? '/guests/new' : `/guests/new?step=${step}`);

function StepList({ w, step }: { w: Wizard; step: Step }) {
  const wrongSteps = new Set([...Object.keys(w.problems), ...Object.keys(refused.value)].filter((f) => w.wrong(f)).map(stepOf));
  return (
    <nav class="create-steps" aria-label={t('create.steps')}>
      <ol>{w.steps.map((s, i) => (
        <li key={s}><a href={addressOf(s)} aria-current={s === step ? 'step' : undefined}>
          <span class="step-number num">{i + 1}</span><span>{t(STEP_TITLE[s])}</span>
          {wrongSteps.has(s) && <span class="step-wrong"><Icon name="warn" /><span class="hidden-text">{t('create.stepWrong')}</span></span>}
        </a></li>
      ))}</ol>
    </nav>
  );
}

/** The first thing to do of a step, or what is wrong in it, has the focus; on a finger's screen no keyboard pops up. */
function focusIn(form: HTMLFormElement | null): void {
  const wrong = form?.querySelector<HTMLElement>('.field.wrong :is(input, select, textarea)');
  const first = matchMedia('(pointer: coarse)').matches ? null : form?.querySelector<HTMLElement>('.create-fields :is(input, select, textarea)');
  const chosen = first?.closest('.cards')?.querySelector<HTMLElement>(':checked');
  (wrong ?? chosen ?? first ?? form?.querySelector<HTMLElement>('h2'))?.focus();
}

function Wizardry({ w, step }: { w: Wizard; step: Step }) {
  const form = useRef<HTMLFormElement>(null);
  const review = useReview(w, step === 'review');
  const at = w.steps.indexOf(step);
  const View = VIEWS[step];
  const before = w.steps[at - 1], after = w.steps[at + 1];
  useEffect(() => {
    if (step === 'review')
      isComplained.value = true;
    document.querySelector('.create-steps [aria-current]')?.scrollIntoView({ inline: 'center', block: 'nearest' });
    document.getElementById('content')?.scrollTo(0, 0);
    focusIn(form.current);
  }, [step]);
  const create = async (): Promise<void> => {
    if (!review.isGood)
      return;
    const error = await make(w.d.vmid, w.d.name.trim() || w.suggested, w.request.calls);
    if (error instanceof ApiError)
      refused.value = refusals(error, w.request);
    if (error)
      notify({ tone: 'bad', text: t('create.failed'), detail: error instanceof Error ? error.message : '' });
  };
  const next = (): void => {
    if (step === 'review')
      void create();
    else if (after)
      go(addressOf(after));
  };
  const onKey = (e: KeyboardEvent): void => {
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) {
      e.preventDefault();
      if (step === 'review')
        void create();
      else
        go(addressOf('review'));
    }
  };
  return (
    <div class="create-body">
      <StepList w={w} step={step} />
      <form ref={form} class="panel create-form" onSubmit={(e) => { e.preventDefault(); next(); }} onKeyDown={onKey} noValidate>
        <h2 tabIndex={-1}>{t(STEP_TITLE[step])}</h2>
        <div class="create-fields">{View ? <View w={w} /> : <ReviewStep w={w} review={review} />}</div>
        <footer class="row wrap create-foot">
          <Button tone="ghost" icon="trash" onClick={() => { discard(); go('/guests/new'); }}>{t('create.discardDraft')}</Button>
          <span class="grow quiet hint">{t(step === 'review' ? 'create.hint.create' : 'create.hint.review')}</span>
          {before && <Button onClick={() => go(addressOf(before))}>{t('back')}</Button>}
          {step !== 'review' && after !== 'review' && <Button type="submit">{t('create.next')}</Button>}
          {step !== 'review' && <Button tone="main" type={after === 'review' ? 'submit' : 'button'} {...(after === 'review' ? {} : { onClick: () => go(addressOf('review')) })}>{t('create.step.review')}</Button>}
          {step === 'review' && <Button tone="main" type="submit" isDisabled={!review.isGood}>{t('create.create')}</Button>}
        </footer>
      </form>
    </div>
  );
}

function Body() {
  const { wizard: w, error, reload } = useWizard();
  const wanted = place.value.query.get('step') ?? 'source';
  if (error && !w)
    return <ErrorBox error={error} onRetry={reload} />;
  if (!w)
    return <Waiting />;
  const step = STEPS.find((s) => s === wanted && w.steps.includes(s)) ?? 'source';
  return <Wizardry w={w} step={step} />;
}

export default function Create(_p: { params: PathParams }) {
  if (!hasLoaded.value)
    return <Waiting />;
  return (
    <div class="view create">
      <header class="view-head">
        <p class="crumbs"><a href="/guests">{t('nav.guests')}</a></p>
        <h1>{t('action.new')}</h1>
      </header>
      {making.value ? <MakingView m={making.value} /> : mayCreate() ? <Body /> : <Empty icon="shield" title={t('create.forbidden')}><p class="quiet">{t('create.forbidden.help')}</p></Empty>}
    </div>
  );
}
