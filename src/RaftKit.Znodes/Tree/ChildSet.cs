namespace RaftKit.Znodes.Tree;

/// <summary>
/// The names of a znode's children in ordinal order, and what the parent's Stat says of them. Kept as small sorted pieces: with a million
/// children a creation still moves a few hundred bytes, and listing is a plain copy, without sorting.
/// Other threads copy it while it changes and throw away what they got, so every index is checked against the array it is used with.
/// </summary>
internal sealed class ChildSet
{
    private const int PieceSize = 128;
    private const int FirstPieceSize = 4;

    private Piece[] _pieces = [];
    private int _pieceCount;

    /// <summary>How many children were ever created: the next sequence number.</summary>
    public long Creates;

    /// <summary>pzxid: the last creation or deletion of a child; before the first, the parent's own creation.</summary>
    public long ChangedZxid;

    public int Count { get; private set; }

    public void Add(string name)
    {
        Count++;
        if (_pieceCount == 0)
        {
            InsertPiece(0, new Piece(FirstPieceSize));
            _pieces[0].Insert(0, name);
            return;
        }

        var at = PieceFor(name);
        var piece = _pieces[at];
        var position = ~piece.Find(name);
        if (piece.Count == PieceSize)
        {
            // Sequential names arrive in order: beginning a new piece, instead of halving the last, keeps the others full.
            if (position == PieceSize && at == _pieceCount - 1)
            {
                piece = new Piece(PieceSize);
                InsertPiece(at + 1, piece);
                position = 0;
            }
            else
            {
                var upper = piece.TakeUpperHalf();
                InsertPiece(at + 1, upper);
                if (position > piece.Count)
                {
                    position -= piece.Count;
                    piece = upper;
                }
            }
        }
        piece.Insert(position, name);
    }

    public void Remove(string name)
    {
        Count--;
        var at = PieceFor(name);
        var piece = _pieces[at];
        piece.RemoveAt(piece.Find(name));
        if (piece.Count == 0)
            RemovePiece(at);
        else if (at + 1 < _pieceCount && piece.Count + _pieces[at + 1].Count <= PieceSize / 2)
            Merge(at);
        else if (at > 0 && piece.Count + _pieces[at - 1].Count <= PieceSize / 2)
            Merge(at - 1);
    }

    /// <summary>A new array of all names, in order.</summary>
    public string[] ToArray()
    {
        var names = new string[Count];
        var pieces = _pieces;
        var count = Math.Min(_pieceCount, pieces.Length);
        var copied = 0;
        for (var i = 0; i < count; i++)
            copied += pieces[i]?.CopyTo(names.AsSpan(copied)) ?? 0;
        return names;
    }

    private int PieceFor(string name)
    {
        int low = 0, high = _pieceCount - 1;
        while (low < high)
        {
            var middle = (low + high + 1) >>> 1;
            if (string.CompareOrdinal(_pieces[middle].First, name) <= 0)
                low = middle;
            else
                high = middle - 1;
        }
        return low;
    }

    private void InsertPiece(int at, Piece piece)
    {
        if (_pieceCount == _pieces.Length)
            Array.Resize(ref _pieces, Math.Max(1, _pieceCount * 2));
        Array.Copy(_pieces, at, _pieces, at + 1, _pieceCount - at);
        _pieces[at] = piece;
        _pieceCount++;
    }

    private void RemovePiece(int at)
    {
        _pieceCount--;
        Array.Copy(_pieces, at + 1, _pieces, at, _pieceCount - at);
        _pieces[_pieceCount] = null!;
        if (_pieceCount < _pieces.Length / 4)
            Array.Resize(ref _pieces, _pieces.Length / 2);
    }

    private void Merge(int at)
    {
        _pieces[at].Append(_pieces[at + 1]);
        RemovePiece(at + 1);
    }

    private sealed class Piece(int capacity)
    {
        private string[] _names = new string[capacity];

        public int Count { get; private set; }

        public string First => _names[0];

        /// <summary>The name's position, or the complement of where it belongs.</summary>
        public int Find(string name) => Array.BinarySearch(_names, 0, Count, name, StringComparer.Ordinal);

        public void Insert(int position, string name)
        {
            if (Count == _names.Length)
                Array.Resize(ref _names, Math.Min(PieceSize, Count * 2));
            Array.Copy(_names, position, _names, position + 1, Count - position);
            _names[position] = name;
            Count++;
        }

        public void RemoveAt(int position)
        {
            Count--;
            Array.Copy(_names, position + 1, _names, position, Count - position);
            _names[Count] = null!;
        }

        public Piece TakeUpperHalf()
        {
            var upper = new Piece(PieceSize);
            var half = Count / 2;
            upper.Count = Count - half;
            Array.Copy(_names, half, upper._names, 0, upper.Count);
            Array.Clear(_names, half, upper.Count);
            Count = half;
            return upper;
        }

        public void Append(Piece other)
        {
            if (Count + other.Count > _names.Length)
                Array.Resize(ref _names, PieceSize);
            Array.Copy(other._names, 0, _names, Count, other.Count);
            Count += other.Count;
        }

        public int CopyTo(Span<string> destination)
        {
            var names = _names;
            var count = Math.Min(Math.Min(Count, names.Length), destination.Length);
            names.AsSpan(0, count).CopyTo(destination);
            return count;
        }
    }
}
