using System.Numerics;

namespace RaftKit.Znodes.Tree;

/// <summary>
/// Finds nodes by path. A Dictionary doubles in one go, which at a million entries stalls the loop for tens of milliseconds; this is linear
/// hashing, which splits one bucket with each node added, so no call ever does more than a few chains' work. Chains run through the nodes.
/// <para>Other threads look up while it changes (and throw away what they found): a look-up reads each reference once, checks each index
/// against what it read, and can be told to give up after so many steps, since a node that moves can lead it from chain to chain.</para>
/// </summary>
internal sealed class NodeMap
{
    private const int SegmentBits = 10;
    private const int SegmentSize = 1 << SegmentBits;
    private const int MinBuckets = SegmentSize;

    private TreeNode?[]?[] _segments = [new TreeNode?[SegmentSize]];
    private int _buckets = MinBuckets;

    public int Count { get; private set; }

    /// <summary>
    /// The path's hash in this process. Seeded by the runtime at random, so that nobody can send paths that all fall into one bucket; for
    /// that reason nothing replicated may depend on it.
    /// </summary>
    public static int Hash(ReadOnlySpan<char> path) => string.GetHashCode(path);

    public TreeNode? Find(ReadOnlySpan<char> path) => Find(path, Hash(path), int.MaxValue, out _);

    public TreeNode? Find(ReadOnlySpan<char> path, int hash, int maxSteps, out bool gaveUp)
    {
        gaveUp = false;
        var bucket = BucketOf(hash, _buckets);
        var segments = _segments;
        var segment = bucket >> SegmentBits < segments.Length ? segments[bucket >> SegmentBits] : null;
        for (var node = segment?[bucket & (SegmentSize - 1)]; node is not null; node = node.NextInBucket)
        {
            if (node.PathHash == hash && node.Spells(path))
                return node;
            if (--maxSteps == 0)
            {
                gaveUp = true;
                break;
            }
        }
        return null;
    }

    public void Add(TreeNode node)
    {
        ref var head = ref Head(BucketOf(node.PathHash, _buckets));
        node.NextInBucket = head;
        head = node;
        if (++Count > _buckets)
            Split();
    }

    public void Remove(TreeNode node)
    {
        ref var link = ref Head(BucketOf(node.PathHash, _buckets));
        while (!ReferenceEquals(link, node))
            link = ref link!.NextInBucket;
        link = node.NextInBucket;
        Count--;
        // Four merges a removal, because it may take up to four times as many buckets away as nodes: the map follows the tree down.
        for (var merges = 0; merges < 4 && _buckets > MinBuckets && Count < _buckets / 4; merges++)
            MergeLast();
    }

    private static int BucketOf(int hash, int buckets)
    {
        var mask = (int)(BitOperations.RoundUpToPowerOf2((uint)buckets) - 1);
        var bucket = hash & mask;
        return bucket < buckets ? bucket : hash & (mask >> 1);
    }

    private ref TreeNode? Head(int bucket) => ref _segments[bucket >> SegmentBits]![bucket & (SegmentSize - 1)];

    private void Split()
    {
        var added = _buckets;
        if (added >> SegmentBits == _segments.Length)
            Array.Resize(ref _segments, _segments.Length * 2);
        _segments[added >> SegmentBits] ??= new TreeNode?[SegmentSize];
        _buckets++;

        ref var newHead = ref Head(added);
        ref var link = ref Head(PartnerOf(added));
        while (link is { } node)
        {
            if (BucketOf(node.PathHash, _buckets) != added)
            {
                link = ref node.NextInBucket;
                continue;
            }
            link = node.NextInBucket;
            node.NextInBucket = newHead;
            newHead = node;
        }
    }

    private void MergeLast()
    {
        var last = _buckets - 1;
        ref var from = ref Head(last);
        ref var end = ref Head(PartnerOf(last));
        while (end is not null)
            end = ref end.NextInBucket;
        end = from;
        from = null;
        _buckets--;
        if ((last & (SegmentSize - 1)) == 0)
            _segments[last >> SegmentBits] = null;
    }

    /// <summary>The bucket that a bucket was split from: its number without the highest bit.</summary>
    private static int PartnerOf(int bucket) => bucket & (int)(BitOperations.RoundUpToPowerOf2((uint)bucket + 1) / 2 - 1);
}
