using System.Diagnostics.CodeAnalysis;

namespace RaftKit.Node.Transport;

/// <summary>
/// What waits to be written on one link, by lane, bounded in count and bytes; a full lane drops, and the senders above repeat. The one
/// place where the loop's thread and the link's writer meet, hence the lock.
/// </summary>
internal sealed class SendQueue(TcpTransportOptions options)
{
    private readonly Lock _gate = new();
    private readonly Queue<Item>[] _lanes = [new(), new(), new()];
    private readonly long[] _bytes = new long[Lanes.Count];
    private bool _closed;

    /// <summary>Takes a message, or drops it: false.</summary>
    public bool TryAdd(PeerMessage message, Lane lane)
    {
        var weight = MessageCodec.Weigh(message);
        var (most, mostBytes) = LimitsOf(lane);
        lock (_gate)
        {
            var queue = _lanes[(int)lane];
            // One message always fits into an empty lane, however large the limit in bytes says it is.
            if (_closed || queue.Count >= most || (queue.Count > 0 && _bytes[(int)lane] + weight > mostBytes))
                return false;
            queue.Enqueue(new Item(message, weight));
            _bytes[(int)lane] += weight;
            return true;
        }
    }

    /// <summary>The oldest message of a lane.</summary>
    public bool TryTake(Lane lane, [NotNullWhen(true)] out PeerMessage? message)
    {
        lock (_gate)
        {
            if (!_lanes[(int)lane].TryDequeue(out var item))
            {
                message = null;
                return false;
            }
            _bytes[(int)lane] -= item.Weight;
            message = item.Message;
            return true;
        }
    }

    /// <summary>How many messages wait in a lane.</summary>
    public int CountOf(Lane lane)
    {
        lock (_gate)
            return _lanes[(int)lane].Count;
    }

    /// <summary>Takes nothing any more.</summary>
    /// <param name="discard">Whether what waits is thrown away, too.</param>
    public void Close(bool discard)
    {
        lock (_gate)
        {
            _closed = true;
            if (!discard)
                return;
            for (var lane = 0; lane < Lanes.Count; lane++)
            {
                _lanes[lane].Clear();
                _bytes[lane] = 0;
            }
        }
    }

    private (int Count, long Bytes) LimitsOf(Lane lane) => lane switch
    {
        Lane.Priority => (options.MaxQueuedMessages, options.MaxQueuedPriorityBytes),
        Lane.Bulk => (options.MaxQueuedMessages, options.MaxQueuedBytes),
        _ => (options.MaxQueuedSnapshotChunks, options.MaxQueuedBytes),
    };

    private readonly record struct Item(PeerMessage Message, int Weight);
}
