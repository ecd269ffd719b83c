'use server';

import { revalidatePath } from 'next/cache';
import { headers } from 'next/headers';
import { endSession, isAdmin, startSession } from '@/lib/admin-session';
import { isId, isSlug, isVisibility, type Organization } from '@/lib/announcement';
import { env } from '@/lib/env';
import { Limiter, clientKey } from '@/lib/limiter';
import { log, reason } from '@/lib/log';
import { sameSecret } from '@/lib/session';
import { shared } from '@/lib/shared';
import { createAnnouncement, deleteAnnouncement, findCommunity, setVisibility } from '@/lib/store';
import { FIELDS, parseAnnouncement, type FieldErrors, type RawAnnouncement } from '@/lib/validation';

// Every action is an endpoint that anybody can call with anything: each one checks the session and its input itself.

const PASSWORD_LIMIT = 200;
const LONGEST_FIELD = 4_000;
const SIGNED_OUT = 'You have been signed out. Sign in again; reload the page to do so.';
const TRY_LATER = 'The database cannot be reached. Nothing was changed; try again in a moment.';

export interface SignInState {
  message: string | null;
}

export interface CreateState {
  /** changes with every answer, so that the form is drawn anew */
  answer: number;
  outcome: 'none' | 'created' | 'refused';
  message: string | null;
  errors: FieldErrors;
  /** what was typed, to be corrected */
  values: RawAnnouncement | null;
}

export interface ChangeState {
  message: string | null;
}

const attempts = () => shared('sign-in limiter', () => new Limiter({ limit: 10, windowMs: 5 * 60_000, maxKeys: 5_000 }));

function text(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value.slice(0, LONGEST_FIELD) : '';
}

async function communityOf(form: FormData): Promise<Organization | null> {
  const slug = text(form, 'org');
  return isSlug(slug) ? findCommunity(slug) : null;
}

export async function signIn(_before: SignInState, form: FormData): Promise<SignInState> {
  const slug = text(form, 'org');
  if (!isSlug(slug)) return { message: 'The form is incomplete; reload the page.' };
  if (!attempts().take(clientKey(await headers()), Date.now())) {
    return { message: 'Too many attempts. Wait five minutes.' };
  }
  const password = text(form, 'password');
  if (password.length > PASSWORD_LIMIT || !sameSecret(password, env.adminPassword())) {
    return { message: 'That is not the password.' };
  }
  await startSession();
  revalidatePath(`/admin/${slug}`);
  return { message: null };
}

export async function signOut(form: FormData): Promise<void> {
  await endSession();
  const slug = text(form, 'org');
  if (isSlug(slug)) revalidatePath(`/admin/${slug}`);
}

export async function create(before: CreateState, form: FormData): Promise<CreateState> {
  const values = Object.fromEntries(FIELDS.map((field) => [field, text(form, field)])) as RawAnnouncement;
  const refused = (message: string, errors: FieldErrors = {}): CreateState => ({
    answer: before.answer + 1,
    outcome: 'refused',
    message,
    errors,
    values,
  });
  if (!(await isAdmin())) return refused(SIGNED_OUT);
  try {
    const community = await communityOf(form);
    if (!community) return refused('There is no such community.');
    const parsed = parseAnnouncement(values, community.timezone, Date.now());
    if (!parsed.ok) return refused(parsed.errors.requestKey ?? 'Please look at the marked fields.', parsed.errors);
    await createAnnouncement(community, parsed.value);
    revalidatePath(`/admin/${community.slug}`);
    return { answer: before.answer + 1, outcome: 'created', message: sentence(parsed.value), errors: {}, values: null };
  } catch (error) {
    log('error', 'announcement not created', { reason: reason(error) });
    return refused(TRY_LATER);
  }
}

function sentence({ title, visibility, startsAt }: { title: string; visibility: string; startsAt: Date }): string {
  if (visibility !== 'public') return `“${title}” is saved.`;
  return startsAt.getTime() > Date.now() ? `“${title}” is planned.` : `“${title}” is on the displays.`;
}

async function change(form: FormData, act: (community: Organization, id: string) => Promise<string | null>): Promise<ChangeState> {
  if (!(await isAdmin())) return { message: SIGNED_OUT };
  const id = text(form, 'id');
  try {
    const community = await communityOf(form);
    if (!community || !isId(id)) return { message: 'There is no such announcement.' };
    const message = await act(community, id);
    revalidatePath(`/admin/${community.slug}`);
    return { message };
  } catch (error) {
    log('error', 'announcement not changed', { id, reason: reason(error) });
    return { message: TRY_LATER };
  }
}

export async function show(_before: ChangeState, form: FormData): Promise<ChangeState> {
  const visibility = text(form, 'visibility');
  return change(form, async (community, id) => {
    if (!isVisibility(visibility)) return 'Choose public, members or draft.';
    return (await setVisibility(community, id, visibility)) ? null : 'Somebody else has deleted this announcement.';
  });
}

export async function remove(_before: ChangeState, form: FormData): Promise<ChangeState> {
  return change(form, async (community, id) => {
    // Deleted by somebody else in the meantime is what was wanted, too.
    await deleteAnnouncement(community, id);
    return null;
  });
}
