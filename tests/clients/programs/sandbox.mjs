// What these programs ask of the sandbox behind the proxy.

/** The alias `opus` gets 503 as often as the proxy asks for one request; the next request is the client's own. */
export async function theProviderFailsForAMoment() {
  const plan = { steps: [{ fault: "503", model: "anthropic/claude-opus-4.7", times: 3 }] };
  await fetch(`${process.env.SANDBOX_URL}/sandbox/scenario`, { method: "PUT", body: JSON.stringify(plan) });
}
