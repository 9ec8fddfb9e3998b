/** Programs of users that several tests run. */

/** Ten steps of training. It prints the losses and then the library's path. */
export const training = `import { F, manualSeed, nn, optim, randn } from 'castor';

manualSeed(0);
const model = new nn.Sequential(new nn.Linear(8, 32), new nn.ReLU(), new nn.Linear(32, 1));
const optimizer = new optim.AdamW(model.parameters(), { lr: 0.02 });
const x = randn([64, 8]);
const y = x.square().sum(1, { keepdim: true });
for (let step = 0; step < 10; step++) {
  optimizer.zeroGrad();
  const loss = F.mseLoss(model.forward(x), y);
  loss.backward();
  optimizer.step();
  console.log(await loss.item());
}
`;

/** The losses that the program prints in a checkout, line by line. */
export async function expectedLosses(root: string): Promise<string[]> {
  const code = training.replace("'castor'", JSON.stringify(`${root}/runtime/index.ts`));
  const child = Bun.spawn([process.execPath, '-e', code], { cwd: root, stdout: 'pipe', stderr: 'inherit' });
  return (await new Response(child.stdout).text()).trim().split('\n');
}

/** Prints the error with which Castor fails to load, or what it computed. */
export const failing = `const { ones } = await import('castor').catch(error => {
  console.log(error.name + ': ' + error.message);
  process.exit(3);
});
console.log('sum', ones([3]).sum().itemSync());
`;
