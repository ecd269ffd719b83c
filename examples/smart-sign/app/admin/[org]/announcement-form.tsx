'use client';

import { useActionState, useEffect, useId, useRef, useState, type ReactNode } from 'react';
import { TypeIcon } from '@/components/type-icon';
import { BODY_LIMIT, TITLE_LIMIT, TYPES, TYPE_LABELS, VISIBILITIES, VISIBILITY_HINTS, VISIBILITY_LABELS } from '@/lib/announcement';
import type { Field, RawAnnouncement } from '@/lib/validation';
import { create, type CreateState } from './actions';
import styles from './admin.module.css';

const FIRST: CreateState = { answer: 0, outcome: 'none', message: null, errors: {}, values: null };

export function AnnouncementForm({ org, suggestedEnd }: { org: string; suggestedEnd: string }) {
  const [state, action, pending] = useActionState(create, FIRST);
  const empty: RawAnnouncement = {
    requestKey: '',
    type: 'event',
    visibility: 'public',
    title: '',
    body: '',
    startsAt: '',
    expiresAt: suggestedEnd,
  };
  return (
    <>
      <p className={state.outcome === 'refused' ? styles.error : styles.success} role="status">
        {state.message}
      </p>
      {/* The key draws the form anew with each answer: emptied after a success, else with what was typed. */}
      <Fields key={state.answer} org={org} state={state} values={state.values ?? empty} action={action} pending={pending} />
    </>
  );
}

interface FieldsProps {
  org: string;
  state: CreateState;
  values: RawAnnouncement;
  action: (form: FormData) => void;
  pending: boolean;
}

function Fields({ org, state: { errors, outcome }, values, action, pending }: FieldsProps) {
  const form = useRef<HTMLFormElement>(null);
  const requestKey = useRequestKey();
  useEffect(() => {
    if (outcome === 'refused') form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [outcome]);
  return (
    <form ref={form} action={action} className={styles.form} noValidate>
      <input type="hidden" name="org" value={org} />
      <input type="hidden" name="requestKey" value={requestKey} />

      <fieldset className={styles.types}>
        <legend className={styles.label}>Type</legend>
        {TYPES.map((type) => (
          <label key={type} className={styles.typeChoice} data-type={type}>
            <input type="radio" name="type" value={type} defaultChecked={values.type === type} />
            <TypeIcon type={type} size="1.15em" />
            {TYPE_LABELS[type]}
          </label>
        ))}
      </fieldset>
      <ErrorText id="type-error" text={errors.type} />

      <Labelled name="title" label="Title" hint={`Up to ${TITLE_LIMIT} characters`} error={errors.title}>
        {(props) => <input {...props} type="text" defaultValue={values.title} maxLength={TITLE_LIMIT} autoComplete="off" />}
      </Labelled>

      <Labelled name="body" label="Text" hint={`Up to ${BODY_LIMIT} characters and 8 lines; short is read by more people`} error={errors.body}>
        {(props) => <textarea {...props} rows={4} defaultValue={values.body} maxLength={BODY_LIMIT} />}
      </Labelled>

      <div className={styles.pair}>
        <Labelled name="startsAt" label="Starts" hint="Empty: now" error={errors.startsAt}>
          {(props) => <input {...props} type="datetime-local" defaultValue={values.startsAt} />}
        </Labelled>
        <Labelled name="expiresAt" label="Ends" hint="Empty: until you remove it" error={errors.expiresAt}>
          {(props) => <input {...props} type="datetime-local" defaultValue={values.expiresAt} />}
        </Labelled>
      </div>

      <Labelled name="visibility" label="Who sees it" error={errors.visibility}>
        {(props) => (
          <select {...props} defaultValue={values.visibility}>
            {VISIBILITIES.map((visibility) => (
              <option key={visibility} value={visibility}>
                {VISIBILITY_LABELS[visibility]}: {VISIBILITY_HINTS[visibility].toLowerCase()}
              </option>
            ))}
          </select>
        )}
      </Labelled>

      <button type="submit" className={styles.submit} disabled={pending}>
        {pending ? 'Posting…' : 'Post announcement'}
      </button>
    </form>
  );
}

/** One key per drawn form, so that sending it twice posts once. Made in the browser: a page may be drawn from a cache. */
function useRequestKey(): string {
  const [key, setKey] = useState('');
  // getRandomValues, because randomUUID is missing on plain http.
  useEffect(() => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    setKey(hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'));
  }, []);
  return key;
}

interface InputProps {
  id: string;
  name: Field;
  className: string | undefined;
  'aria-invalid': boolean;
  'aria-describedby': string;
}

interface LabelledProps {
  name: Field;
  label: string;
  hint?: string;
  error: string | undefined;
  children: (props: InputProps) => ReactNode;
}

function Labelled({ name, label, hint, error, children }: LabelledProps) {
  const id = useId();
  return (
    <div className={styles.field}>
      <label className={styles.label} htmlFor={id}>
        {label}
      </label>
      {children({
        id,
        name,
        className: styles.input,
        'aria-invalid': error !== undefined,
        'aria-describedby': `${id}-hint ${id}-error`,
      })}
      <p id={`${id}-hint`} className={styles.hint}>
        {hint}
      </p>
      <ErrorText id={`${id}-error`} text={error} />
    </div>
  );
}

function ErrorText({ id, text }: { id: string; text: string | undefined }) {
  return (
    <p id={id} className={styles.error}>
      {text}
    </p>
  );
}
