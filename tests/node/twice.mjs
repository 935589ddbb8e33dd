// Calls both SDKs with nothing but their base-URL variables set, and prints what they made of the answers.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const messages = [{ role: "user", content: "Hello" }];
const openai = new OpenAI({ maxRetries: 0 });
const anthropic = new Anthropic({ maxRetries: 0 });

const plain = await openai.chat.completions.create({ model: "gpt-4o-mini", messages });
console.log(plain.choices[0].message.content);

const chunks = await openai.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true });
let text = "";
for await (const chunk of chunks) text += chunk.choices[0]?.delta?.content ?? "";
console.log(text);

console.log((await openai.responses.create({ model: "gpt-4o-mini", input: "Hello" })).output_text);

const claude = { model: "claude-sonnet-5", max_tokens: 10, messages };
console.log((await anthropic.messages.create(claude)).content[0].text);
console.log((await anthropic.messages.stream(claude).finalText()));

try {
  await openai.chat.completions.create({ model: "gpt-4o-mini", messages, seed: 1 }, { headers: { "x-llm-cache-ttl": "x" } });
} catch (error) {
  console.log(error instanceof OpenAI.BadRequestError, error.code);
}
