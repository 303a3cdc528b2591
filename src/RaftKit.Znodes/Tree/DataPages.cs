using System.Runtime.InteropServices;
using RaftKit.Consensus;

namespace RaftKit.Znodes.Tree;

/// <summary>
/// The data of all nodes, one behind the other in pages: a node holds where its own lies, and no reference. Objects of their own would make
/// the garbage collector's work grow with the tree: it must look again at each old object that was given a reference to a new one, and
/// finds one among a million nodes only by walking its neighbours. 4,000 writes all over such a tree made each collection of the youngest
/// generation last 17 ms; pages fill in order, and it is done in 3. <para>What was written is never changed, so a slice of a page stays
/// what it is, whoever holds it; a page that nobody's data lies in any more is let go. When much of what lies here is nobody's, the
/// emptiest page's rest moves on, one page a write.</para>
/// </summary>
internal sealed class DataPages
{
    public const int PageSize = 32 << 10;

    /// <summary>The page of a node whose data is null, and of one whose data is empty.</summary>
    public const int NoPage = -1;
    public const int EmptyPage = -2;

    /// <summary>Longer data has a page of its own.</summary>
    public const int MaxShared = PageSize / 8;

    // Before each node's data stands whose it is: its slot, and how long it is.
    private const int HeaderSize = 8;
    private const int SparePages = 8;

    private readonly SlotTable _slots;
    private readonly Stack<int> _unused = new();
    private byte[]?[] _pages = new byte[]?[16];

    // Bytes that are some node's, headers included; of pages that are not shared, and of unused ones: all.
    private int[] _live = new int[16];
    private int _pageCount;
    private int _sharedPages;
    private long _sharedLive;
    private int _current = NoPage;
    private int _filled;

    public DataPages(SlotTable slots) => _slots = slots;

    /// <summary>Bytes of pages, whether some node's or not.</summary>
    public long Bytes { get; private set; }

    /// <summary>
    /// The node's data: <c>default</c> if it is null, which is not empty, as ZooKeeper has it. Any thread: while the loop changes things it
    /// may be anything, which is thrown away then.
    /// </summary>
    public ReadOnlyMemory<byte> Of(TreeNode node)
    {
        var (page, offset, length) = (node.DataPage, node.DataOffset, node.DataLength);
        if (page == NoPage)
            return default;
        var pages = _pages;
        if (length == 0 || (uint)page >= (uint)pages.Length || pages[page] is not { } bytes || (uint)offset > bytes.Length
            || length > bytes.Length - offset)
            return Array.Empty<byte>();
        return bytes.AsMemory(offset, length);
    }

    /// <summary>Gives the node this data instead of what it has. It must be in the slots.</summary>
    public void Put(TreeNode node, ReadOnlyMemory<byte> data)
    {
        Drop(node);
        if (data.Equals(default))
            return;
        node.DataLength = data.Length;
        if (data.Length == 0)
            node.DataPage = EmptyPage;
        else if (data.Length > MaxShared)
            PutAlone(node, data.ToArray());
        else
            Append(node, data.Span);
        if (_sharedPages - SparePages > _sharedLive * 3 / (2 * PageSize))
            MoveOnFromEmptiest();
    }

    /// <summary>The node has no data any more.</summary>
    public void Drop(TreeNode node)
    {
        var (page, offset, length) = (node.DataPage, node.DataOffset, node.DataLength);
        (node.DataPage, node.DataOffset, node.DataLength) = (NoPage, 0, 0);
        if (page < 0)
            return;
        if (offset == 0)
        {
            LetGo(page);
            return;
        }
        _live[page] -= HeaderSize + length;
        _sharedLive -= HeaderSize + length;
        if (_live[page] == 0 && page != _current)
        {
            _sharedPages--;
            LetGo(page);
        }
    }

    /// <summary>The node stands in another slot now.</summary>
    public void Moved(TreeNode node)
    {
        if (node.DataPage >= 0 && node.DataOffset > 0)
            MemoryMarshal.Write(_pages[node.DataPage].AsSpan(node.DataOffset - HeaderSize), node.Slot);
    }

    private void PutAlone(TreeNode node, byte[] bytes)
    {
        // A shared page has a header before any data, so offset 0 tells the two kinds apart.
        node.DataOffset = 0;
        node.DataPage = Add(bytes);
    }

    private void Append(TreeNode node, ReadOnlySpan<byte> data)
    {
        if (_current == NoPage || _filled + HeaderSize + data.Length > PageSize)
            BeginPage();
        var at = _pages[_current].AsSpan(_filled);
        MemoryMarshal.Write(at, node.Slot);
        MemoryMarshal.Write(at[4..], data.Length);
        data.CopyTo(at[HeaderSize..]);
        (node.DataPage, node.DataOffset) = (_current, _filled + HeaderSize);
        _filled += HeaderSize + data.Length;
        _live[_current] += HeaderSize + data.Length;
        _sharedLive += HeaderSize + data.Length;
    }

    private void BeginPage()
    {
        if (_current != NoPage && _live[_current] == 0)
        {
            _sharedPages--;
            LetGo(_current);
        }
        _current = Add(GC.AllocateUninitializedArray<byte>(PageSize));
        _live[_current] = 0;
        _filled = 0;
        _sharedPages++;
    }

    private void MoveOnFromEmptiest()
    {
        var emptiest = NoPage;
        var least = PageSize;
        for (var page = 0; page < _pageCount; page++)
        {
            if (_live[page] < least && page != _current)
                (emptiest, least) = (page, _live[page]);
        }
        if (emptiest == NoPage)
            return;

        var bytes = _pages[emptiest]!;
        // The last one that leaves lets the page go.
        for (var at = 0; ReferenceEquals(_pages[emptiest], bytes);)
        {
            Invariant.Holds(at + HeaderSize <= PageSize, $"page {emptiest} of data has {_live[emptiest]} bytes that are nobody's");
            var slot = MemoryMarshal.Read<int>(bytes.AsSpan(at));
            var length = MemoryMarshal.Read<int>(bytes.AsSpan(at + 4));
            Invariant.Holds(
                length <= MaxShared && at + HeaderSize + length <= PageSize, $"page {emptiest} of data says {length} bytes at {at}");
            at += HeaderSize;
            // It may be what a node had before: then that node's is elsewhere, and nobody's here.
            if (slot < _slots.Count && _slots[slot] is var node && node.DataPage == emptiest && node.DataOffset == at)
            {
                Drop(node);
                node.DataLength = length;
                Append(node, bytes.AsSpan(at, length));
            }
            at += length;
        }
    }

    private int Add(byte[] bytes)
    {
        if (!_unused.TryPop(out var page))
        {
            if (_pageCount == _pages.Length)
            {
                Array.Resize(ref _live, 2 * _pageCount);
                Array.Resize(ref _pages, 2 * _pageCount);
            }
            page = _pageCount++;
        }
        _pages[page] = bytes;
        _live[page] = PageSize;
        Bytes += bytes.Length;
        return page;
    }

    private void LetGo(int page)
    {
        Bytes -= _pages[page]!.Length;
        _pages[page] = null;
        _live[page] = PageSize;
        _unused.Push(page);
    }
}
