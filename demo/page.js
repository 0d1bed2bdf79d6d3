// Runs once when the page is there.
() => {
  // A photo on the clipboard goes where a chosen file would go.
  document.addEventListener('paste', (event) => {
    const file = [...(event.clipboardData?.files || [])].find((item) => item.type.startsWith('image/'));
    const input = document.querySelector('#upload input[type=file]');
    if (!file || !input) return;
    const transfer = new DataTransfer();
    transfer.items.add(file);
    input.files = transfer.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  });
  document.addEventListener('keydown', (event) => {
    const writing = event.target.closest('textarea, input:not([type=range]):not([type=radio])');
    if (event.key !== 'z' || !(event.ctrlKey || event.metaKey) || event.shiftKey || writing) return;
    document.querySelector('#back, #undo:not([disabled])')?.click();
  });
}
