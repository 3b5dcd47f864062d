// What a program that uses npm's `salt-api` does: log in, listen, run a function, look at minions and jobs.
// It prints one JSON object: what it was answered.  Arguments: the address, a user, a password.
const { Salt } = require("salt-api");

async function main([url, username, password]) {
  const salt = new Salt({ url, username, password, eauth: "sharedsecret" });
  await salt.login();
  const stream = await salt.eventSource();
  const heard = [];
  stream.onmessage = (message) => heard.push(JSON.parse(message.data));
  await new Promise((resolve) => (stream.onopen = resolve));
  const ping = await salt.fun("*", "test.ping");
  const echo = await salt.fun("minion-0042", "test.echo", { arg: ["a word"], tgt_type: "list" });
  const minions = await salt.minions();
  const one = await salt.minions("minion-0042");
  const isReturn = (event) => /^salt\/job\/\d+\/ret\/minion-0042$/.test(event.tag) && event.data.fun === "test.echo";
  while (!heard.some(isReturn)) await new Promise((resolve) => setTimeout(resolve, 20));
  const { jid } = heard.find(isReturn).data;
  const jobs = await salt.jobs();
  const job = await salt.jobs(jid);
  stream.close();
  console.log(JSON.stringify({ ping, echo, minions, one, jid, jobs, job, heard: heard.find(isReturn) }));
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message ?? error);
  process.exit(1);
});
