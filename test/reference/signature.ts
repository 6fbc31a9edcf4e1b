/** signature: a declaration without its body, as TypeScript. */

import { commentBefore, type Declaration, type Exported, type Module, type Node } from './exported.js';

/** The declarations of a name as TypeScript, bodies and what is private left out. */
export function signatureOf({ module, declarations }: Exported): string {
  const overloads = declarations.filter(({ node }) => node.type === 'TSDeclareFunction');
  const shown = declarations.filter(({ node }) => overloads.length === 0 || node.type !== 'FunctionDeclaration');
  return shown.map((declaration) => declarationText(module, declaration)).join('\n');
}

function declarationText(module: Module, { node }: Declaration): string {
  if (node.type === 'FunctionDeclaration' || node.type === 'TSDeclareFunction') {
    const { name } = node.id as { name: string };
    return `function ${name}${callText(module, node)};`;
  }
  if (node.type === 'ClassDeclaration') return classText(module, node);
  if (node.type === 'VariableDeclaration') return constantText(module, node);
  return module.text.slice(node.start, node.end).replace(/([^;}])$/, '$1;');
}

/** Type parameters, parameters and result of a function. */
function callText({ text }: Module, fn: Node): string {
  const of = (node: Node | null | undefined) => (node == null ? '' : text.slice(node.start, node.end));
  const parameters = (fn.params as readonly Node[]).map((parameter) => parameterText(text, parameter));
  const line = `${of(fn.typeParameters as Node)}(${parameters.join(', ')})${of(fn.returnType as Node)}`;
  if (line.length <= 110) return line;
  const lines = parameters.map((parameter) => `\n  ${parameter},`).join('');
  return `${of(fn.typeParameters as Node)}(${lines}\n)${of(fn.returnType as Node)}`;
}

/** A parameter as its caller sees it: a default makes it optional, a destructured one is `options`. */
function parameterText(text: string, parameter: Node): string {
  const optional = parameter.type === 'AssignmentPattern';
  const target = optional ? (parameter.left as Node) : parameter;
  if (target.type === 'Identifier' && !optional) return text.slice(target.start, target.end);
  if (target.type === 'RestElement') return text.slice(target.start, target.end);
  const name = target.type === 'Identifier' ? String(target.name) : 'options';
  const annotation = target.typeAnnotation as Node | null;
  if (annotation !== null) return `${name}${optional ? '?' : ''}${text.slice(annotation.start, annotation.end)}`;
  const fallback = parameter.right as Node | undefined;
  return fallback === undefined ? name : `${name} = ${text.slice(fallback.start, fallback.end)}`;
}

function classText(module: Module, node: Node): string {
  const { text } = module;
  const { body } = node.body as { body: readonly Node[] };
  const head = text.slice(node.start, (node.body as Node).start).trim();
  const members = body.filter(isPublic).flatMap((member) => {
    const comment = commentBefore(module, member.start);
    const shown = comment === '' ? [] : commentLines(comment);
    return [...shown, memberText(module, member)].map((line) => line.replace(/^/gm, '  '));
  });
  return [`${head} {`, ...members, '}'].join('\n');
}

function isPublic(member: Node): boolean {
  const key = member.key as Node | undefined;
  if (key === undefined || key.type === 'PrivateIdentifier' || String(key.name).startsWith('_')) return false;
  const overloaded = member.type === 'MethodDefinition' && (member.value as Node | null) === null;
  return !overloaded && member.accessibility !== 'private' && member.accessibility !== 'protected';
}

function memberText(module: Module, member: Node): string {
  const { text } = module;
  const key = member.key as Node;
  const name = member.computed === true ? `[${text.slice(key.start, key.end)}]` : text.slice(key.start, key.end);
  const prefix = member.static === true ? 'static ' : '';
  if (/MethodDefinition$/.test(member.type)) {
    const accessor = member.kind === 'get' || member.kind === 'set' ? `${String(member.kind)} ` : '';
    return `${prefix}${accessor}${name}${callText(module, member.value as Node)};`;
  }
  const annotation = member.typeAnnotation as Node | null;
  const type = annotation === null ? '' : text.slice(annotation.start, annotation.end);
  const readonly = member.readonly === true ? 'readonly ' : '';
  return `${prefix}${readonly}${name}${member.optional === true ? '?' : ''}${type};`;
}

function commentLines(comment: string): string[] {
  const lines = comment.split('\n');
  if (lines.length === 1) return [`/** ${comment} */`];
  return ['/**', ...lines.map((line) => ` * ${line}`.trimEnd()), ' */'];
}

function constantText({ text }: Module, node: Node): string {
  const [{ id, init }] = node.declarations as [{ id: Node; init: Node | null }];
  const named = text.slice(id.start, id.end);
  if (id.typeAnnotation != null || init === null) return `const ${named};`;
  return `const ${named} = ${text.slice(init.start, init.end)};`;
}
