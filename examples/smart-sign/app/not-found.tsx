import Link from 'next/link';
import { Logo } from '@/components/logo';

export default function NotFound() {
  return (
    <main className="message">
      <Logo size={56} />
      <h1>There is no sign here</h1>
      <p>Perhaps the name of the community is spelled differently.</p>
      <Link href="/">All communities</Link>
    </main>
  );
}
