/** events-page: each event of `SluiceEvent` with its fields. */

import { type Addresses, cell, lineOf, markdownOf } from './comment.js';
import { commentBefore, type Module, type Node } from './exported.js';

/** The page of the events, as Markdown. */
export function eventsPage(module: Module, addresses: Addresses): string {
  const events = membersOf(module).map((node) => eventOf(module, node));
  const contents = events.map(({ type, comment }) => `| [\`${type}\`](#${type.toLowerCase()}) | ${lineOf(comment, addresses)} |`);
  const sections = events.map(({ type, comment, fields }) => {
    const rows = fields.map(
      (field) => `| \`${field.name}\` | \`${cell(field.type)}\` | ${lineOf(field.comment, addresses) || '–'} |`,
    );
    return `## ${type}\n\n${markdownOf(comment, addresses)}\n\n| field | type | |\n|---|---|---|\n${rows.join('\n')}`;
  });
  const intro =
    'What `env.observe` and every observer are told. `type` names the event; durations are in milliseconds. Logs, metrics and traces are derived from these.';
  return `${['# Events', intro, ['| event | when |', '|---|---|', ...contents].join('\n'), ...sections].join('\n\n')}\n`;
}

/** The types of all events. */
export function eventTypes(module: Module): string[] {
  return membersOf(module).map((node) => eventOf(module, node).type);
}

function membersOf({ body }: Module): readonly Node[] {
  const declared = body.map(({ declaration }) => declaration as Node | null | undefined);
  const union = declared.find((node) => (node?.id as { name?: string } | undefined)?.name === 'SluiceEvent');
  return (union!.typeAnnotation as { types: readonly Node[] }).types;
}

interface EventText {
  readonly type: string;
  readonly comment: string;
  readonly fields: readonly { readonly name: string; readonly type: string; readonly comment: string }[];
}

function eventOf(module: Module, node: Node): EventText {
  const fields = (node.members as readonly Node[]).map((member) => {
    const key = (member.key as { name: string }).name;
    const { start, end } = (member.typeAnnotation as { typeAnnotation: Node }).typeAnnotation;
    const name = member.optional === true ? `${key}?` : key;
    return { name, type: module.text.slice(start, end), comment: commentBefore(module, member.start) };
  });
  const type = fields.find(({ name }) => name === 'type')!.type.replaceAll("'", '');
  return { type, comment: commentBefore(module, node.start), fields: fields.filter(({ name }) => name !== 'type') };
}
