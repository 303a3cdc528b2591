namespace RaftKit.Znodes.Tree;

/// <summary>
/// One znode. There may be millions, so it holds no path (its ancestors spell it) and nothing that only parents or only ephemerals need.
/// Name and parent never change: a reader on another thread may walk up from any node that it holds. Its data is in <see
/// cref="DataPages"/>.
/// </summary>
internal class TreeNode(string name, TreeNode? parent)
{
    public readonly string Name = name;
    public readonly TreeNode? Parent = parent;

    /// <summary>The next node of the same bucket in <see cref="NodeMap"/>.</summary>
    public TreeNode? NextInBucket;

    /// <summary>Null until the first child is created.</summary>
    public ChildSet? Children;

    public long CreatedZxid;
    public long ModifiedZxid;
    public long CreatedTime;
    public long ModifiedTime;

    /// <summary>The digest's hash of path and data, kept so that a new child does not hash its parent's data again.</summary>
    public ulong ContentHash;

    public int Version;

    /// <summary>Where it stands in <see cref="SlotTable"/>.</summary>
    public int Slot;

    /// <summary>Where its data lies in <see cref="DataPages"/>, and how long it is.</summary>
    public int DataPage = DataPages.NoPage;
    public int DataOffset;
    public int DataLength;

    /// <summary>The hash of its path in this process; never shown to anybody, since it differs from process to process.</summary>
    public int PathHash;

    /// <summary>The last capture that needs nothing more of this node: it was written, or was created after that capture began.</summary>
    public int CapturedIn;

    public virtual long Owner => 0;

    public int ChildCount => Children?.Count ?? 0;

    public long Creates => Children?.Creates ?? 0;

    public long ChildrenZxid => Children?.ChangedZxid ?? CreatedZxid;

    public ZnodeStat Stat
    {
        get
        {
            // Other threads read this while the node changes (the result is thrown away then): look at each reference once.
            var children = Children;
            long creates = 0, childrenZxid = CreatedZxid;
            var count = 0;
            if (children is not null)
                (creates, count, childrenZxid) = (children.Creates, children.Count, children.ChangedZxid);
            return new ZnodeStat(
                CreatedZxid, ModifiedZxid, CreatedTime, ModifiedTime, Version, unchecked((int)(2 * creates - count)), AclVersion: 0,
                Owner, DataLength, count, childrenZxid);
        }
    }

    /// <summary>Its path, as a new string.</summary>
    public string Path
    {
        get
        {
            if (Parent is null)
                return ZnodePath.Root;
            var length = 0;
            for (var node = this; node.Parent is not null; node = node.Parent)
                length += 1 + node.Name.Length;
            return string.Create(length, this, static (path, leaf) =>
            {
                var end = path.Length;
                for (var node = leaf; node.Parent is not null; node = node.Parent)
                {
                    end -= node.Name.Length;
                    node.Name.CopyTo(path[end..]);
                    path[--end] = '/';
                }
            });
        }
    }

    /// <summary>
    /// Whether this is the node of <paramref name="path"/>: compares element by element from the end, so it allocates nothing.
    /// </summary>
    public bool Spells(ReadOnlySpan<char> path)
    {
        for (var node = this; node.Parent is not null; node = node.Parent)
        {
            var start = path.Length - node.Name.Length;
            if (start < 1 || path[start - 1] != '/' || !path[start..].SequenceEqual(node.Name))
                return false;
            path = path[..(start - 1)];
        }
        return path.IsEmpty;
    }
}

/// <summary>A znode that goes with its session; linked with the session's others.</summary>
internal sealed class EphemeralNode(string name, TreeNode parent, long owner) : TreeNode(name, parent)
{
    public EphemeralNode? PreviousOfOwner;
    public EphemeralNode? NextOfOwner;

    public override long Owner { get; } = owner;
}
