import type { ComponentChildren } from 'preact';
import { Icon, type IconName } from './icon.tsx';

interface Props {
  children?: ComponentChildren;
  icon?: IconName;
  /** For a button with an icon alone. */
  label?: string;
  tone?: 'plain' | 'main' | 'danger' | 'ghost';
  type?: 'button' | 'submit';
  isDisabled?: boolean;
  isBusy?: boolean;
  isPressed?: boolean;
  popover?: string;
  onClick?: (event: MouseEvent) => void;
}

/** A busy button stays focusable, so that the keyboard does not lose its place. */
export function Button(p: Props) {
  return (
    <button type={p.type ?? 'button'} class={`button ${p.tone ?? 'plain'}${p.children ? '' : ' bare'}`} disabled={p.isDisabled ?? false}
      aria-busy={p.isBusy} aria-disabled={p.isBusy} aria-pressed={p.isPressed} aria-label={p.label} title={p.label}
      popovertarget={p.popover} onClick={p.isBusy ? undefined : p.onClick}>
      {p.isBusy ? <span class="spinner" /> : p.icon && <Icon name={p.icon} />}
      {p.children}
    </button>
  );
}
