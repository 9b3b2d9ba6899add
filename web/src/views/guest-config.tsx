// The tabs Hardware and Options. They come when they are first opened.
import type { ComponentType } from 'preact';
import type { Page } from '../core/config-keys.ts';
import type { Guest } from '../core/store.ts';
import { lazy } from './routes.tsx';

export const ConfigPage: ComponentType<{ guest: Guest; page: Page }> = lazy('guest', () => import('./hw-page.tsx'));
