// Drives the JavaScript client: commands come in by stdin, what happens goes out by stdout, a JSON object a line.
import { createInterface } from "node:readline";

const { connect } = await import(process.env.CLIENT);
const tell = (event) => console.log(JSON.stringify(event));
const problem = ({ status = -1, detail = "", field = "", id = "" }) => ({ status, detail, field, id });

const { url, options } = JSON.parse(process.env.OPTIONS);
const client = connect(url, {
  ...options,
  onDecision: (decision) => tell({ decision }),
  onError: (error) => tell({ error: problem(error) }),
});

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { number, send, moderate } = JSON.parse(line);
    if (send) client.send(send);
    if (moderate) {
      client.moderate(moderate).then(
        (answer) => tell({ number, answer }),
        (error) => tell({ number, refused: problem(error) }),
      );
    }
  })
  .on("close", () => {
    tell({ place: client.place() });
    client.close();
  });
