// What is loaded: a word while it comes, the error where it does not, else what was asked for.
import type { ComponentChildren } from 'preact';
import { t } from '../core/i18n.ts';
import { ErrorBox } from './error.tsx';
import type { Loaded } from './use.ts';

/** In place of what is not there yet, and why not. */
export function Waiting(p: { error?: unknown; onRetry?: () => void; text?: string }) {
  if (p.error)
    return <ErrorBox error={p.error} onRetry={p.onRetry} />;
  return <div class="loading" role="status">{p.text ?? t('loading')}</div>;
}

export function Loading<T>({ of, children }: { of: Loaded<T>; children: (value: T) => ComponentChildren }) {
  if (of.error && of.value === null)
    return <div class="pad"><ErrorBox error={of.error} onRetry={of.reload} /></div>;
  return <>{of.value === null ? <Waiting /> : children(of.value)}</>;
}
