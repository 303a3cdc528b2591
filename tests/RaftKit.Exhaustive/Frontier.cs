namespace RaftKit.Exhaustive;

/// <summary>
/// States that were found and not gone on from, first in, first out, each as its numbers; blocks that were read are let go.
/// </summary>
internal sealed class Frontier
{
    private const int BlockSize = 1 << 20;

    private readonly Queue<int[]> _full = new();
    private int[] _writing = new int[BlockSize];
    private int[] _reading;
    private int _written;
    private int _read;

    public Frontier() => _reading = _writing;

    public void Add(ReadOnlySpan<int> state)
    {
        if (_written + state.Length + 1 > BlockSize)
        {
            if (_written < BlockSize)
                _writing[_written] = -1;
            _writing = new int[BlockSize];
            _full.Enqueue(_writing);
            _written = 0;
        }
        _writing[_written++] = state.Length;
        state.CopyTo(_writing.AsSpan(_written));
        _written += state.Length;
    }

    /// <returns>The next state, valid until the next call; empty if there is none.</returns>
    public ReadOnlySpan<int> Next()
    {
        if (_reading != _writing && (_read == BlockSize || _reading[_read] == -1))
            (_reading, _read) = (_full.Dequeue(), 0);
        if (_reading == _writing && _read == _written)
            return [];
        int length = _reading[_read];
        var state = _reading.AsSpan(_read + 1, length);
        _read += length + 1;
        return state;
    }
}
