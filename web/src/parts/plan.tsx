// What the server would do (dry-run), before it does it: asked anew a moment after the call has changed.
import { useEffect, useState } from 'preact/hooks';
import { call, type Method, type Values } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { stepText, type PlanStep } from '../core/plan.ts';
import { ErrorBox } from './error.tsx';
import { State } from './state.tsx';

export interface Planned { steps: readonly PlanStep[] | null; error: unknown; isAsking: boolean; reload: () => void }
export interface PlanRequest { method: Method; path: string; values: Values }

const STILL_MS = 350;

/** null: there is nothing to ask yet. */
export function usePlan(request: PlanRequest | null): Planned {
  const key = request ? JSON.stringify(request) : '';
  const [state, setState] = useState<{ key: string; steps: readonly PlanStep[] | null; error: unknown }>({ key: '', steps: null, error: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!request)
      return undefined;
    let isWanted = true;
    const put = (steps: readonly PlanStep[] | null, error: unknown): void => { if (isWanted) setState({ key, steps, error }); };
    const ask = (): void => void call<{ plan: PlanStep[] }>(request.method, request.path, { ...request.values, 'dry-run': 1 }).then((r) => put(r.plan, null), (e: unknown) => put(null, e));
    const timer = setTimeout(ask, STILL_MS);
    return () => { isWanted = false; clearTimeout(timer); };
  }, [key, turn]);
  const isNow = state.key === key && key !== '';
  return { steps: isNow ? state.steps : null, error: isNow ? state.error : null, isAsking: !isNow && key !== '', reload: () => setTurn((n) => n + 1) };
}

/** `last`: what follows the server's steps. */
export function PlanList({ plan, last }: { plan: Planned; last: readonly string[] }) {
  if (plan.error !== null)
    return <ErrorBox error={plan.error} onRetry={plan.reload} />;
  if (plan.isAsking)
    return <p class="row quiet" role="status"><State state="busy" isBare />{t('plan.asking')}</p>;
  return (
    <ol class="plan">
      {(plan.steps ?? []).map((s, i) => <li key={i} data-step={s.step} data-volume={typeof s.args['volume'] === 'string' ? s.args['volume'] : undefined}>{stepText(s)}</li>)}
      {last.map((line) => <li key={line}>{line}</li>)}
    </ol>
  );
}

/** Folded away, and asked for when it is looked at. */
export function PlanDetails({ request }: { request: PlanRequest }) {
  const [isOpen, setOpen] = useState(false);
  const plan = usePlan(isOpen ? request : null);
  return (
    <details class="equal" onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>{t('plan.title')}</summary>
      {isOpen && (plan.steps?.length === 0 ? <p class="quiet">{t('plan.none')}</p> : <PlanList plan={plan} last={[]} />)}
    </details>
  );
}
