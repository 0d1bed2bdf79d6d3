// The photo that visitors click and paint on. Runs inside Gradio's HTML component, which gives:
// element (our root), trigger(event, data) to the server, props (what the server set: view_w, view_h, ...).
// What the page's switches say is kept on the body, where it survives a new photo: data-tool, data-sign, data-brush.

const frame = () => element.querySelector('.ca-frame');
const canvas = () => element.querySelector('.ca-strokes');
const painting = () => document.body.dataset.tool === 'brush' && !props.before;
const brushRadius = () => (Number(document.body.dataset.brush || 4) / 100) * Math.max(props.view_w, props.view_h) / 2;
let stroke = null; // the points of the stroke being painted, in the view's pixels

// The view's pixels for one of the screen's, so that the server can draw lines and letters as thick as the page's.
const unit = () => props.view_w / frame().getBoundingClientRect().width;

// Where the pointer is, in the view's pixels and not rounded: the server knows the photo's own size.
function position(event) {
  const box = frame().getBoundingClientRect();
  return [((event.clientX - box.left) * props.view_w) / box.width, ((event.clientY - box.top) * props.view_h) / box.height];
}

const inside = ([x, y]) => x >= 0 && y >= 0 && x < props.view_w && y < props.view_h;

// A ring where the click was, until the answer is drawn (which removes what is not in the template).
function ripple([x, y]) {
  frame().querySelectorAll('.ca-ripple').forEach((ring) => ring.remove());
  const ring = document.createElement('span');
  ring.className = 'ca-ripple';
  ring.style.left = `${(100 * x) / props.view_w}%`;
  ring.style.top = `${(100 * y) / props.view_h}%`;
  frame().appendChild(ring);
  ring.addEventListener('animationend', () => ring.remove());
}

// The whole stroke is drawn each time, because an answer that comes in between empties the canvas.
function drawStroke() {
  const layer = canvas();
  if (layer.width !== props.view_w || layer.height !== props.view_h) {
    layer.width = props.view_w;
    layer.height = props.view_h;
  }
  const pen = layer.getContext('2d');
  pen.clearRect(0, 0, layer.width, layer.height);
  pen.lineCap = pen.lineJoin = 'round';
  pen.lineWidth = 2 * brushRadius();
  pen.strokeStyle = document.body.dataset.sign === 'Take away' ? '#1f2937' : '#6366f1';
  pen.beginPath();
  pen.moveTo(...stroke[0]);
  for (const point of stroke) pen.lineTo(...point);
  pen.stroke();
}

function moveRing(event) {
  const ring = element.querySelector('.ca-ring');
  const box = frame().getBoundingClientRect();
  const size = (2 * brushRadius() * box.width) / props.view_w;
  ring.style.cssText = painting() && event.pointerType !== 'touch'
    ? `display:block;width:${size}px;height:${size}px;left:${event.clientX - box.left}px;top:${event.clientY - box.top}px`
    : '';
}

element.addEventListener('input', (event) => {
  if (event.target.matches('.ca-split')) frame().style.setProperty('--split', `${event.target.value}%`);
});

element.addEventListener('click', (event) => {
  if (painting() || props.before || !event.target.closest('.ca-frame')) return;
  const point = position(event);
  if (!inside(point)) return;
  ripple(point);
  trigger('point', { x: point[0], y: point[1], unit: unit() });
});

element.addEventListener('pointerdown', (event) => {
  if (!painting() || event.button !== 0 || !event.target.closest('.ca-frame')) return;
  event.preventDefault();
  element.setPointerCapture(event.pointerId);
  stroke = [position(event)];
  drawStroke();
});

element.addEventListener('pointermove', (event) => {
  if (frame()) moveRing(event);
  if (!stroke) return;
  const moves = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  for (const move of moves.length ? moves : [event]) stroke.push(position(move));
  drawStroke();
});

element.addEventListener('pointerup', () => {
  if (!stroke) return;
  trigger('paint', { points: stroke, radius: brushRadius(), unit: unit() });
  stroke = null;
});

element.addEventListener('pointercancel', () => {
  stroke = null;
  canvas().removeAttribute('width');
});

element.addEventListener('pointerleave', () => {
  if (element.querySelector('.ca-ring')) element.querySelector('.ca-ring').style.cssText = '';
});
