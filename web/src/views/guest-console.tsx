// The console as a tab of its guest.
import type { Guest } from '../core/store.ts';
import { ConsoleView } from './console-view.tsx';

export default function GuestConsole({ guest }: { guest: Guest }) {
  return <ConsoleView guest={guest} isWindow={false} />;
}
